"""The configuration files of nginx, the registry and Redis: one set of templates, filled in for `make up` and for
docker-compose alike. They differ in values only: sockets here, host:port there.

Standard library only, for `make up` has no other when it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from deploy.bucket import Bucket

TEMPLATES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Https:
    """What nginx needs to speak HTTPS. With it, plain HTTP is answered by a redirect to the external URL."""

    listen: Sequence[str]
    certificate: Path
    """Private key and chain in one PEM file (deploy/certificate.py makes it)."""
    external_url: str
    challenges: Path
    """Served to a certificate authority that wants to see a file by plain HTTP (RFC 8555, 8.3)."""


def nginx(
    *,
    core: Sequence[str],
    registry: str,
    listen: Sequence[str],
    pid: Path,
    temporary: Path,
    included: Path = TEMPLATES / "nginx",
    https: Https | None = None,
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
        pid=str(pid),
        temporary=str(temporary),
        included=str(included),
        servers=_indented(_servers(_lines("listen", listen, indent=4), included, https)),
    )


def registry(*, net: str, address: str, store: Path | Bucket, external_url: str, bundle: Path, http_secret: str) -> str:
    """The registry's config.yml.

    It listens at `address` of the kind `net` (`unix` and a path, `tcp` and host:port), keeps its blobs in `store`
    and trusts tokens signed under the certificates in `bundle`. `http_secret` is the same for all replicas. A bucket's
    key is no part of it: the registry looks for that in the file that AWS_SHARED_CREDENTIALS_FILE names.
    """
    return _render(
        "registry/config.yml",
        net=net,
        address=address,
        store=_store(store),
        external_url=external_url,
        bundle=str(bundle),
        http_secret=http_secret,
    )


def redis(*, listen: Sequence[str], folder: Path) -> str:
    """redis.conf. `listen` is whole lines (`port 0`, `unixsocket /run/redis.sock`), `folder` where its data lie."""
    return _render("redis/redis.conf", listen="\n".join(listen), folder=str(folder))


def _servers(listen: str, included: Path, https: Https | None) -> str:
    if https is None:
        return _render("nginx/server-http.conf", listen=listen, included=str(included))
    return _render(
        "nginx/server-https.conf",
        listen=listen,
        listen_tls=_lines("listen", [f"{each} ssl" for each in https.listen], indent=4),
        certificate=str(https.certificate),
        external_url=https.external_url,
        challenges=str(https.challenges),
        included=str(included),
    )


def _store(store: Path | Bucket) -> str:
    if isinstance(store, Path):
        return _render("registry/folder.yml", folder=str(store)).rstrip()
    return _render(
        "registry/bucket.yml",
        bucket=store.name,
        prefix=store.prefix,
        endpoint=store.endpoint,
        region=store.region,
        secure=str(not store.endpoint.startswith("http://")).lower(),
    ).rstrip()


def _lines(directive: str, values: Sequence[str], *, indent: int) -> str:
    """One directive of nginx's a line; the first line is indented by the template."""
    return f"\n{' ' * indent}".join(f"{directive} {value};" for value in values)


def _indented(block: str) -> str:
    """All but the first line, which the template indents."""
    return block.strip().replace("\n", "\n    ")


def _render(name: str, **values: str) -> str:
    return _Template((TEMPLATES / name).read_text()).substitute(values)


class _Template(Template):
    """Placeholders are written @{name}: `$` means something to nginx."""

    delimiter = "@"
    idpattern = "(?!)"
    braceidpattern = "[a-z_0-9]+"
