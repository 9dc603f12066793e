"""The secrets, and every program's configuration files: made in the container `configuration`, read by the others.

Each program has a volume of its own with what it may know, and no other. A file is replaced as a whole, so running this
again, also after it was killed, is always right.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from deploy import certificate, configuration, keys
from deploy.compose.places import CHALLENGES, ETC, SECRETS, SOCKETS, STORE, USER, VAR
from deploy.stack import settings as operator
from deploy.stack.settings import Settings, Unusable

WATCHER = Path(__file__).resolve().parent / "watch.sh"
INCLUDED = ("maps.conf", "locations.conf", "tls.conf")
CERTIFICATE = "nginx/certificate.pem"
# Owner and group; nginx and PostgreSQL run as users of their own in that group.
READABLE = 0o640


def prepare(settings: Settings) -> None:
    """Secrets that are missing, then all files; Unusable says which volume or certificate is no good."""
    pem = _certificate(settings)
    become_user()
    check_volumes(
        [SECRETS, STORE, VAR / "redis", SOCKETS, *(ETC / name for name in ("nginx", "registry", "redis", "postgres"))]
    )
    _check_preset()
    keys.init(SECRETS)
    keys.make(SECRETS / "database-password", lambda: secrets.token_hex(32))
    if pem:
        keys.write(ETC / CERTIFICATE, pem, mode=READABLE)
    write(settings)
    if not pem:
        (ETC / CERTIFICATE).unlink(missing_ok=True)


def write(settings: Settings) -> None:
    """All configuration files, as the settings and secrets have them now."""
    password = (SECRETS / "database-password").read_text().strip()
    # What libpq reads by itself, so that no password is in an environment.
    keys.write(SECRETS / "pgpass", f"*:*:*:*:{password}")
    for name, text in files(settings, SECRETS).items():
        keys.write(ETC / name, text, mode=READABLE)


def files(settings: Settings, folder: Path) -> dict[str, str]:
    """Path under /etc/wharf → text, with the secrets from a folder."""
    included = {name: (configuration.TEMPLATES / "nginx" / name).read_text() for name in INCLUDED}
    watcher = WATCHER.read_text()
    return {
        "nginx/watch.sh": watcher,
        **{f"nginx/{name}": text for name, text in included.items()},
        "nginx/nginx.conf": configuration.nginx(
            core=["core:8000"],
            registry="registry:5000",
            listen=["8080"],
            pid=SOCKETS / "nginx.pid",
            temporary=VAR / "nginx",
            included=ETC,
            https=_https(settings),
        ),
        "registry/watch.sh": watcher,
        "registry/bundle.pem": (folder / "token" / "bundle.pem").read_text(),
        "registry/config.yml": configuration.registry(
            net="tcp",
            address="0.0.0.0:5000",
            store=Path("/var/lib/registry"),
            external_url=settings.external_url,
            bundle=ETC / "bundle.pem",
            http_secret=(folder / "registry-http-secret").read_text().strip(),
        ),
        "redis/watch.sh": watcher,
        "redis/redis.conf": configuration.redis(
            listen=["port 0", f"unixsocket {SOCKETS}/redis.sock", "unixsocketperm 700"], folder=Path("/data")
        ),
        "postgres/password": (folder / "database-password").read_text(),
    }


def check_volumes(folders: list[Path]) -> None:
    """Every volume is there and ours to write."""
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Unusable(
                f"the volume at {folder} cannot be written by the user {USER}; give it to him: docker run --rm "
                f"--user 0 --volume VOLUME:/volume --entrypoint chown wharf:0.1.0 -R {USER}:{USER} /volume"
            )


def become_user() -> None:
    """Root was needed for the operator's certificate alone."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)


def _certificate(settings: Settings) -> str:
    """The operator's certificate with its key, looked at; empty without HTTPS."""
    if settings.tls is None:
        return ""
    if os.getuid() != 0:
        raise Unusable(
            "WHARF_TLS_CERT is set, but only docker-compose.yml is used; "
            "put COMPOSE_FILE=docker-compose.yml:docker-compose.https.yml into .env"
        )
    return certificate.load(settings.tls.certificate, settings.tls.key, settings.host).pem


def _https(settings: Settings) -> configuration.Https | None:
    if settings.tls is None:
        return None
    return configuration.Https(
        listen=["8443"],
        certificate=ETC / Path(CERTIFICATE).name,
        external_url=settings.external_url,
        challenges=CHALLENGES,
    )


def _check_preset() -> None:
    preset = os.environ.get("WHARF_ADMIN_PASSWORD")
    if preset and (SECRETS / "admin-password").exists():
        print("WHARF_ADMIN_PASSWORD counts at the first start only; the admin's password stays what it is", flush=True)
    elif preset:
        operator.admin_password(preset)
