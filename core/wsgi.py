"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import os

import django
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
django.setup(set_prefix=False)

from core.api.short_way import Handler  # noqa: E402 - it wants the settings

application = Handler()
# Now, not at the first request, which would wait a second for it; and by then `make up` may have put a newer program
# in this one's place.
_ = get_resolver().url_patterns
