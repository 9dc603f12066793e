"""/service."""

from __future__ import annotations

from django.urls import path

from registry.token import views

urlpatterns = [path("token", views.token)]
