"""One set of templates: rendered with sockets for `make up`, with host:port for docker-compose."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy import configuration
from deploy.bucket import Bucket
from deploy.certificate import load
from tests.certificates import Authority


def _accepted(text: str, folder: Path) -> str:
    """What the real nginx says to a configuration; empty when it is content."""
    (folder / "nginx.conf").write_text(text)
    command = ["/usr/sbin/nginx", "-t", "-q", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return subprocess.run(command, capture_output=True, text=True).stderr


def test_nginx_takes_several_cores_at_hosts_and_ports(tmp_path: Path) -> None:
    text = configuration.nginx(
        core=["127.0.0.1:8000", "127.0.0.2:8000 max_fails=0"],
        registry="127.0.0.1:5000",
        listen=["18080"],
        pid=tmp_path / "nginx.pid",
        temporary=tmp_path,
    )
    assert "server 127.0.0.1:8000;\n        server 127.0.0.2:8000 max_fails=0;" in text
    assert _accepted(text, tmp_path) == ""


def test_nginx_speaks_https_and_sends_plain_http_there(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text(load(*Authority().issue("localhost").write(tmp_path), "localhost").pem)
    text = configuration.nginx(
        core=["127.0.0.1:8000"],
        registry="127.0.0.1:5000",
        listen=["18080", "127.0.0.1:18081"],
        pid=tmp_path / "nginx.pid",
        temporary=tmp_path,
        https=configuration.Https(
            listen=["18443", "127.0.0.1:18444"],
            certificate=tmp_path / "tls.pem",
            external_url="https://localhost:18443",
            challenges=tmp_path,
        ),
    )
    assert "listen 18443 ssl;\n        listen 127.0.0.1:18444 ssl;" in text
    assert "@{" not in text
    assert _accepted(text, tmp_path) == ""


def test_nginx_takes_sockets(tmp_path: Path) -> None:
    text = configuration.nginx(
        core=[f"unix:{tmp_path}/core.sock"],
        registry=f"unix:{tmp_path}/registry.sock",
        listen=["18080", "127.0.0.1:18081"],
        pid=tmp_path / "nginx.pid",
        temporary=tmp_path,
    )
    assert _accepted(text, tmp_path) == ""


def test_the_registry_listens_where_it_is_told() -> None:
    text = configuration.registry(
        net="tcp",
        address=":5000",
        store=Path("/var/lib/registry"),
        external_url="https://registry.example.com",
        bundle=Path("/secrets/token/bundle.pem"),
        http_secret="x",
    )
    assert "net: tcp\n  addr: :5000\n" in text
    assert "@{" not in text


def test_the_registry_keeps_its_blobs_in_a_bucket() -> None:
    text = configuration.registry(
        net="tcp",
        address=":5000",
        store=Bucket("blobs", "a/b", "http://minio:9000", "eu-central-1"),
        external_url="https://registry.example.com",
        bundle=Path("/secrets/token/bundle.pem"),
        http_secret="x",
    )
    section = """
  s3:
    bucket: "blobs"
    rootdirectory: "/a/b"
    region: "eu-central-1"
    regionendpoint: "http://minio:9000"
    secure: false
    v4auth: true
  delete:
    enabled: true
"""
    assert section in text
    assert "disable: true" in text, "clients are not sent to the bucket"
    assert "filesystem" not in text
    assert "key" not in section, "the bucket's key is in a file of its own"
    assert "@{" not in text


def test_redis_listens_where_it_is_told() -> None:
    text = configuration.redis(listen=["port 6379", "bind 0.0.0.0"], folder=Path("/data"))
    assert "port 6379\nbind 0.0.0.0\ndir /data\n" in text
