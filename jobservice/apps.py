"""The jobservice room."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig

from core import events


class JobserviceConfig(AppConfig):
    name = "jobservice"

    def ready(self) -> None:
        for module in ("events", "housekeeping", "workers"):
            import_module(f"jobservice.{module}")
        events.ring_with(import_module("jobservice.relay").ring)
