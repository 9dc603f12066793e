"""The jobservice room."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class JobserviceConfig(AppConfig):
    name = "jobservice"

    def ready(self) -> None:
        for module in ("housekeeping", "workers"):
            import_module(f"jobservice.{module}")
