"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
application = get_wsgi_application()
# Now, not at the first request, which would wait a second for it; and by then `make up` may have put a newer program
# in this one's place.
_ = get_resolver().url_patterns
