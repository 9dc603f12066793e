"""All settings, read once from the environment; read this file top to bottom.

What an operator may change while the platform runs is configuration in the database
(`core/configuration.py`), not a setting.
"""

from __future__ import annotations

import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import environ
import structlog
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from core import encryption_keys

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

VERSION = "0.1.0"

# --- where things live -------------------------------------------------------------------------
VAR = Path(env("WHARF_VAR", default=str(BASE_DIR / "var")))
SECRETS = Path(env("WHARF_SECRETS", default=str(VAR / "secrets")))


def secret(name: str) -> str:
    """A secret's text from its file; secrets never travel in the environment."""
    path = SECRETS / name
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret {path} cannot be read ({error.strerror}). `make up` creates it; "
            "WHARF_SECRETS says where it is looked for."
        ) from error


# --- the address people use --------------------------------------------------------------------
EXTERNAL_URL = env("WHARF_EXTERNAL_URL", default="http://localhost:8080").rstrip("/")
_external = urlsplit(EXTERNAL_URL)
if _external.scheme not in ("http", "https") or not _external.hostname or _external.path:
    raise ImproperlyConfigured(
        f"WHARF_EXTERNAL_URL is {EXTERNAL_URL!r}; it must look like https://registry.example.com[:port]"
    )
EXTERNAL_HOST = _external.netloc
SECURE = _external.scheme == "https"
# `make trial-tls` makes it; people may fetch it to trust us.
CA_CERTIFICATE = VAR / "trial-tls" / "ca.crt"

# nginx is the only way in and passes the client's Host on; what links we make comes from EXTERNAL_URL.
ALLOWED_HOSTS = ["*"]
SECRET_KEY = secret("secret-key")
CREDENTIAL_KEY = secret("credential-key")
# The newest first (core/fields.py).
try:
    ENCRYPTION_KEYS = encryption_keys.parse(secret("fernet-key"))
except ValueError as error:
    raise ImproperlyConfigured(
        f"The secret {SECRETS / 'fernet-key'} cannot be used: {error}. Put back what it was, for what is encrypted in "
        "the database can be read with that alone (docs/webhooks.md)."
    ) from error
DEBUG = False

# --- rooms -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_structlog",
    "django_htmx",
    "csp",
    "rest_framework",
    "drf_spectacular_sidecar",
    "core",
    "django_celery_beat",
    "jobservice",
    "rbac",
    "projects",
    "registry",
    "web",
]

MIDDLEWARE = [
    "core.api.short_way.ShortWay",
    "django_structlog.middlewares.RequestMiddleware",
    "core.api.request_id.RequestId",
    "core.api.slashes.MergedSlashes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.sessions.Sessions",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "core.api.csrf.HarborCsrf",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
    "web.views.errors.RefusalPages",
    "core.api.exceptions.JsonErrors",
]

ROOT_URLCONF = "core.urls"
WSGI_APPLICATION = "core.wsgi.application"
# Harbor's and Docker's paths have no trailing slash, and a redirect would lose a POST's body.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Postgres: the truth -----------------------------------------------------------------------
_database = env.db_url("WHARF_DATABASE_URL", default="postgres://wharf@%2Frun%2Fpostgresql/wharf")
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "core.postgres",
        # A socket's folder is written percent-encoded, as libpq's own URLs are.
        "HOST": unquote(_database["HOST"]),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        # Prepared statements (core/postgres/prepared.py) are made so that one plan fits all parameters. And compiling a
        # statement costs a second, but none here runs for one: recursion only looks dear.
        "OPTIONS": {
            **_database.get("OPTIONS", {}),
            "options": "-c plan_cache_mode=force_generic_plan -c jit=off",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: the bell and the short memory; losing it loses speed, never data ----------------------
REDIS_URL = env("WHARF_REDIS_URL", default="redis://localhost:6379/0")
CACHES = {
    "default": {
        "BACKEND": "core.redis.ForgivingCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "wharf",
        "OPTIONS": {
            "serializer": "core.redis.JsonSerializer",
            "socket_timeout": 1,
            "socket_connect_timeout": 0.3,
        },
    }
}
SESSION_ENGINE = "core.sessions"
SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
SESSION_COOKIE_NAME = "sid"
# They are renewed otherwise: core/sessions.py.
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE: Literal["Lax"] = "Lax"
SESSION_COOKIE_SECURE = SECURE

# --- jobs --------------------------------------------------------------------------------------
# How many of a kind run at once, where an operator wants fewer than may (jobservice/turns.py); deploy/job_caps.py knows
# the kinds.
try:
    JOB_CAPS = {
        kind: int(number) for kind, number in (each.split("=") for each in env.list("WHARF_JOB_CAPS", default=[]))
    }
except ValueError as error:
    raise ImproperlyConfigured("WHARF_JOB_CAPS must be a list such as WEBHOOK=2,SLACK=1") from error
if min(JOB_CAPS.values(), default=1) < 1:
    raise ImproperlyConfigured("WHARF_JOB_CAPS must have numbers from 1 on; whoever wants none to run pauses the queue")
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A bell is taken out of Redis when a process is free for it: behind a long task it would wait beside idle workers.
CELERY_WORKER_DISABLE_PREFETCH = True
# Connections to the database are kept; jobservice/workers.py looks whether they live.
CELERY_DB_REUSE_MAX = 1_000_000
CELERY_TASK_TIME_LIMIT = 3600
CELERY_TASK_DEFAULT_QUEUE = "upkeep"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_BEAT_SCHEDULER = "jobservice.beat.Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
DJANGO_CELERY_BEAT_TZ_AWARE = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 2 * 3600,
    # A Redis that hangs, or whose machine is gone without a word, is noticed.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
}

# --- the stock registry behind us -----------------------------------------------------------------
REGISTRY_URL = env("WHARF_REGISTRY_URL", default="http://localhost:5000")
STORE_URL = env("WHARF_STORE", default=f"file://{VAR}/registry")
# When that is s3://bucket/prefix: its server (Amazon's when empty), and the file with the key.
STORE_ENDPOINT = env("WHARF_STORE_ENDPOINT", default="")
STORE_REGION = env("WHARF_STORE_REGION", default="us-east-1")
STORE_CREDENTIALS = env("WHARF_STORE_CREDENTIALS", default=str(SECRETS / "store-credentials"))
# Garbage collection leaves alone what somebody counted on within so many hours; Harbor's name for it.
GC_TIME_WINDOW_HOURS = env.float("GC_TIME_WINDOW_HOURS", default=2.0)
if not 0 <= GC_TIME_WINDOW_HOURS <= 8760:
    raise ImproperlyConfigured("GC_TIME_WINDOW_HOURS must be 0 to 8760 hours")
TOKEN_SERVICE = "harbor-registry"  # noqa: S105 - the name clients are challenged with, as in Harbor
TOKEN_ISSUER = "harbor-token-issuer"  # noqa: S105
TOKEN_LIFETIME = env.int("WHARF_TOKEN_EXPIRATION", default=5) * 60
if TOKEN_LIFETIME <= 0:
    raise ImproperlyConfigured("WHARF_TOKEN_EXPIRATION must be a positive number of minutes")
MANIFEST_MAX_BYTES = 4 * 1024 * 1024
# Django's default (2.5 MB) is below what a manifest may have.
DATA_UPLOAD_MAX_MEMORY_SIZE = MANIFEST_MAX_BYTES + 1024

# --- whom we call (core/http.py) ------------------------------------------------------------------
# Authorities that are trusted besides the system's: a PEM file.
CA_BUNDLE = env("WHARF_CA_BUNDLE", default="")
if CA_BUNDLE:
    try:
        ssl.create_default_context(cafile=CA_BUNDLE)
    except OSError as error:
        raise ImproperlyConfigured(
            f"WHARF_CA_BUNDLE is {CA_BUNDLE!r}, which is no file of certificates in PEM that we can read"
        ) from error
# Private networks that project admins' webhooks may call, and no others.
try:
    WEBHOOK_ALLOWED_NETWORKS = tuple(
        ip_network(each.strip()) for each in env.list("WHARF_WEBHOOK_ALLOWED_NETWORKS", default=[]) if each.strip()
    )
except ValueError as error:
    raise ImproperlyConfigured(
        f"WHARF_WEBHOOK_ALLOWED_NETWORKS: {error}; it is a list of networks such as 10.1.0.0/16,fd12::/48"
    ) from error
# Nobody's requests go to these: host and port of what we are made of. Sockets of this machine are out of reach anyway.
OWN_SERVICES = tuple(
    (parts.hostname, parts.port or default)
    for parts, default in (
        (urlsplit(f"//{_database['HOST']}:{_database['PORT'] or 5432}"), 5432),
        (urlsplit(REDIS_URL), 6379),
        (urlsplit(REGISTRY_URL), 80),
        (urlsplit(f"//{env('WHARF_CORE_ADDRESS', default='')}"), 8000),
    )
    if parts.scheme in ("", "http", "https", "redis", "rediss") and parts.hostname and "%" not in parts.hostname
)

# --- who is calling -----------------------------------------------------------------------------
AUTH_USER_MODEL = "rbac.User"
AUTHENTICATION_BACKENDS = ["rbac.backends.local.LocalBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
CREDENTIAL_LIFETIME = env.int("WHARF_CREDENTIAL_CACHE_SECONDS", default=300)
LOGIN_FAILURES_PER_MINUTE = env.int("WHARF_LOGIN_FAILURES_PER_MINUTE", default=10)
CSRF_COOKIE_NAME = "_gorilla_csrf"
CSRF_HEADER_NAME = "HTTP_X_HARBOR_CSRF_TOKEN"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SECURE = SECURE
CSRF_TRUSTED_ORIGINS = [EXTERNAL_URL]
CSRF_FAILURE_VIEW = "web.views.errors.csrf_refused"
LOGIN_URL = "/sign-in"

# --- the API --------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rbac.authentication.Basic", "rbac.authentication.Session"],
    "DEFAULT_PERMISSION_CLASSES": ["rbac.permissions.HasPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.api.json_body.JsonBody"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.api.negotiation.AlwaysJson",
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_PAGINATION_CLASS": "core.api.pagination.HarborPagination",
    "DEFAULT_FILTER_BACKENDS": ["core.api.query.HarborQuery"],
    "EXCEPTION_HANDLER": "core.api.exceptions.handle",
    "UNAUTHENTICATED_USER": "rbac.models.user.Anonymous",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "DEFAULT_SCHEMA_CLASS": "core.api.openapi.Described",
}
API_DESCRIPTION = (
    "The REST API, with the conventions of Harbor's v2.0. Sign in with every request (basic, users and robots), or "
    "by a session: `POST /c/login` with `principal` and `password` as a form; answers then carry "
    "`X-Harbor-CSRF-Token`, which every change must send back. A repository's name in a path is encoded twice "
    "(`a%252Fb`)."
)
SPECTACULAR_SETTINGS = {
    "TITLE": "Wharf",
    "DESCRIPTION": API_DESCRIPTION,
    "VERSION": VERSION,
    "SERVERS": [{"url": "/api/v2.0"}],
    "SCHEMA_PATH_PREFIX": "/api/v2.0",
    "SCHEMA_PATH_PREFIX_TRIM": True,
    "PATH_CONVERTER_OVERRIDES": {"repository": str, "number": {"type": "integer", "format": "int64"}},
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "basic": {"type": "http", "scheme": "basic"},
            "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE_NAME},
        }
    },
    "COMPONENT_SPLIT_PATCH": False,
    # Enumerations need no names of their own.
    "POSTPROCESSING_HOOKS": [],
}

# --- pages ------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        # These two do not fall back to default-src.
        "base-uri": [NONE],
        "form-action": [SELF],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LANGUAGE_COOKIE_AGE = 365 * 24 * 60 * 60
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = SECURE
LOCALE_PATHS = [BASE_DIR / "web" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

# --- logs: facts with fields, one JSON object a line -------------------------------------------------
# Who is signed in is a question to the database, and a dead one must not fail while its failure is logged.
DJANGO_STRUCTLOG_USER_ID_FIELD = None
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.JSONRenderer(ensure_ascii=False),
            "foreign_pre_chain": [
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso"),
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env("WHARF_LOG_LEVEL", default="INFO")},
    "loggers": {
        # A line for every request would cost more than the request; nginx keeps the access log.
        "django_structlog": {"level": "ERROR"},
        "django.request": {"level": "CRITICAL"},
        # It names addresses with all that belongs to them; webhooks' hold secrets.
        "urllib3": {"level": "ERROR"},
    },
}
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
