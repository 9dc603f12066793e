"""The platform's own PostgreSQL cluster: made once, reached by its socket alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.stack import service_user
from deploy.stack.layout import Layout
from deploy.stack.settings import Unusable

INSTALLED = Path("/usr/lib/postgresql")
OLDEST = 15


def binaries(layout: Layout) -> Path:
    """Those that made the cluster, or the newest."""
    # A machine with the client alone has such a folder too.
    servers = {int(path.name): path / "bin" for path in INSTALLED.glob("[0-9]*") if (path / "bin" / "initdb").exists()}
    made_by = layout.postgres / "PG_VERSION"
    if made_by.exists():
        version = int(made_by.read_text())
        if version not in servers:
            raise Unusable(
                f"the database was made by PostgreSQL {version}, which is not installed; install postgresql-{version}, "
                "or move the data with pg_upgrade"
            )
        return servers[version]
    if not servers or max(servers) < OLDEST:
        raise Unusable(f"no PostgreSQL server of version {OLDEST} or newer is in {INSTALLED}; install postgresql")
    return servers[max(servers)]


def is_made(layout: Layout) -> bool:
    """Whether there is a cluster."""
    return (layout.postgres / "PG_VERSION").exists()


def make_cluster(layout: Layout) -> None:
    """A cluster whose only role is the service user's, by its own name at the socket."""
    fresh = layout.var / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    layout.make_private(fresh)
    role = ("-U", layout.user, "-A", "peer")
    kind = ("-E", "UTF8", "--locale=C.UTF-8", "--data-checksums")
    service_user.run(layout, str(binaries(layout) / "initdb"), "-D", str(fresh), *role, *kind)
    # Renamed at the end: an initdb that was interrupted leaves no half cluster behind.
    layout.postgres.rmdir()
    fresh.rename(layout.postgres)


def command(layout: Layout, connections: int) -> list[str]:
    """How the server is started. Its configuration file stays as initdb wrote it."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(layout.run),
        "unix_socket_permissions": "0700",
        "max_connections": str(connections),
        "shared_buffers": "256MB",
        "wal_compression": "on",
        "log_min_messages": "warning",
    }
    server = str(binaries(layout) / "postgres")
    return [server, "-D", str(layout.postgres), *(f"--{name}={value}" for name, value in options.items())]


def is_ready(layout: Layout) -> bool:
    """Whether it takes connections."""
    ready = str(binaries(layout) / "pg_isready")
    return service_user.attempt(layout, ready, "-q", "-h", str(layout.run)).returncode == 0


def make_database(layout: Layout) -> None:
    """The database, when it is missing."""
    psql = [str(binaries(layout) / "psql"), "-X", "-h", str(layout.run), "-d", "postgres", "-tA", "-c"]
    if not service_user.run(layout, *psql, "SELECT 1 FROM pg_database WHERE datname = 'wharf'").strip():
        service_user.run(layout, *psql, "CREATE DATABASE wharf")
