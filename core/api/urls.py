"""The platform's own API operations."""

from __future__ import annotations

from django.urls import path

from core.api.views import Health, Ping, SystemInfo

urlpatterns = [
    path("ping", Ping.as_view()),
    path("health", Health.as_view()),
    path("systeminfo", SystemInfo.as_view()),
]
