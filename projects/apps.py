"""The projects room."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "projects"

    def ready(self) -> None:
        for module in ("handlers", "housekeeping", "jobs"):
            import_module(f"projects.{module}")
