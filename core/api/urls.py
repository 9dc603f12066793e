"""The platform's own API operations."""

from __future__ import annotations

from django.urls import path

from core.api.configurations import Configurations, InternalConfiguration
from core.api.cve_allowlist import SystemCveAllowlist
from core.api.documents import Document
from core.api.health import Health, Ping
from core.api.systeminfo import Certificate, SystemInfo, Volumes

urlpatterns = [
    path("ping", Ping.as_view()),
    path("health", Health.as_view()),
    path("openapi.json", Document.as_view({"get": "retrieve"})),
    path("internalconfig", InternalConfiguration.as_view({"get": "retrieve"})),
    path("configurations", Configurations.as_view({"get": "retrieve", "put": "update"})),
    path("systeminfo", SystemInfo.as_view({"get": "retrieve"})),
    path("systeminfo/volumes", Volumes.as_view({"get": "retrieve"})),
    path("systeminfo/getcert", Certificate.as_view({"get": "retrieve"})),
    path("system/CVEAllowlist", SystemCveAllowlist.as_view({"get": "retrieve", "put": "update"})),
]
