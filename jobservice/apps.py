"""The jobservice room."""

from __future__ import annotations

from django.apps import AppConfig


class JobserviceConfig(AppConfig):
    name = "jobservice"
