"""/v2: one view; what it does is listed in `routes.py`."""

from __future__ import annotations

from django.urls import path

from registry import door

urlpatterns = [
    path("_judge_upload", door.judge),
    path("<path:path>", door.enter),
    path("", door.enter),
]
