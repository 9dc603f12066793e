"""The configuration files of nginx, the registry and Redis: one set of templates, filled in for `make up` and for
docker-compose alike. They differ in values only: sockets here, host:port there.

Standard library only, for `make up` has no other when it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

TEMPLATES = Path(__file__).resolve().parent


def nginx(
    *,
    core: Sequence[str],
    registry: str,
    listen: Sequence[str],
    pid: Path,
    temporary: Path,
    included: Path = TEMPLATES / "nginx",
) -> str:
    """nginx.conf.

    `core` and `registry` are servers as an upstream takes them (`unix:/run/core.sock`, `core:8000 max_fails=0`),
    `listen` is what may follow that word (`8080`, `[::]:8080 ipv6only=on`). `temporary` is a folder that nginx may
    write to, `included` the one with maps.conf and locations.conf, as nginx will see it.
    """
    return _render(
        "nginx/nginx.conf",
        core=_lines("server", core, indent=8),
        registry=registry,
        listen=_lines("listen", listen, indent=8),
        pid=str(pid),
        temporary=str(temporary),
        included=str(included),
    )


def registry(*, net: str, address: str, store: Path, external_url: str, bundle: Path, http_secret: str) -> str:
    """The registry's config.yml.

    It listens at `address` of the kind `net` (`unix` and a path, `tcp` and host:port), keeps its blobs under `store`
    and trusts tokens signed under the certificates in `bundle`. `http_secret` is the same for all replicas.
    """
    return _render(
        "registry/config.yml",
        net=net,
        address=address,
        store=str(store),
        external_url=external_url,
        bundle=str(bundle),
        http_secret=http_secret,
    )


def redis(*, listen: Sequence[str], folder: Path) -> str:
    """redis.conf. `listen` is whole lines (`port 0`, `unixsocket /run/redis.sock`), `folder` where its data lie."""
    return _render("redis/redis.conf", listen="\n".join(listen), folder=str(folder))


def _lines(directive: str, values: Sequence[str], *, indent: int) -> str:
    """One directive of nginx's a line; the first line is indented by the template."""
    return f"\n{' ' * indent}".join(f"{directive} {value};" for value in values)


def _render(name: str, **values: str) -> str:
    return _Template((TEMPLATES / name).read_text()).substitute(values)


class _Template(Template):
    """Placeholders are written @{name}: `$` means something to nginx."""

    delimiter = "@"
    idpattern = "(?!)"
    braceidpattern = "[a-z_0-9]+"
