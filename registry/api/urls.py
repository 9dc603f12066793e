"""What this room adds to the API."""

from __future__ import annotations

from django.urls import path

from registry.api.garbage_collection import GarbageCollectionRuns, GarbageCollectionSchedule

urlpatterns = [
    path("system/gc", GarbageCollectionRuns.as_view({"get": "list"})),
    path(
        "system/gc/schedule",
        GarbageCollectionSchedule.as_view({"get": "retrieve", "post": "create", "put": "update"}),
    ),
    path("system/gc/<number:run_id>", GarbageCollectionRuns.as_view({"get": "retrieve", "put": "stop"})),
    path("system/gc/<number:run_id>/log", GarbageCollectionRuns.as_view({"get": "log"})),
]
