"""An S3 server of the tests' own (moto) with one bucket, which looks at the keys it is given."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests

NAME, PREFIX = "wharf-blobs", "some/where"
# Whose key the server looks at, after the three requests (without a key) that make the user, its key and this.
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@dataclass
class S3:
    """The server, and what an operator would know about it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    certificate: Path | None = None
    """What to trust when it speaks TLS."""
    key: str = ""
    secret: str = ""

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def store(self) -> str:
        return f"s3://{NAME}/{PREFIX}"

    def credentials(self, key: str = "", secret: str = "") -> Path:
        """A credentials file, with the right key unless another one is given."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "credentials"
        lines = f"aws_access_key_id={key or self.key}\naws_secret_access_key={secret or self.secret}\n"
        path.write_text(f"[default]\n{lines}")
        path.chmod(0o600)
        return path

    def settings(self) -> dict[str, str]:
        """What `make up` is told."""
        return {
            "WHARF_STORE": self.store,
            "WHARF_STORE_ENDPOINT": self.endpoint,
            "WHARF_STORE_CREDENTIALS": str(self.credentials()),
        }

    def listing(self) -> list[str]:
        """Every name in the bucket."""
        return list(self.sizes())

    def sizes(self) -> dict[str, int]:
        """Every name in the bucket, and how many bytes it has."""
        pages = self._client("s3", self.key, self.secret).get_paginator("list_objects_v2").paginate(Bucket=NAME)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def put(self, key: str, content: bytes) -> None:
        self._client("s3", self.key, self.secret).put_object(Bucket=NAME, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return bytes(self._client("s3", self.key, self.secret).get_object(Bucket=NAME, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        self._client("s3", self.key, self.secret).delete_object(Bucket=NAME, Key=key)

    def download(self, folder: Path) -> None:
        """Copy what lies under the prefix."""
        client = self._client("s3", self.key, self.secret)
        for key in self.listing():
            path = folder / key.removeprefix(f"{PREFIX}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(NAME, key, str(path))

    def upload(self, folder: Path) -> None:
        """Copy a folder's files to the prefix."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(f"{PREFIX}/{path.relative_to(folder)}", path.read_bytes())

    @contextmanager
    def silent(self) -> Iterator[None]:
        """While inside, it takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Its data are gone with it."""
        self.process.kill()
        self.process.wait(10)

    def make_bucket(self) -> None:
        """A user who may do everything with the bucket, and the bucket."""
        iam = self._client("iam", "nobody", "nothing")
        iam.create_user(UserName="wharf")
        made = iam.create_access_key(UserName="wharf")["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
        iam.put_user_policy(UserName="wharf", PolicyName="all", PolicyDocument=json.dumps(POLICY))
        self._client("s3", self.key, self.secret).create_bucket(Bucket=NAME)

    def _client(self, service: str, key: str, secret: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            verify=str(self.certificate) if self.certificate else None,
        )


def start(folder: Path, port: int | None = None, *, with_bucket: bool = True, tls: bool = False) -> S3:
    """A server with its bucket, or one that takes any key and has nothing."""
    port = port or _free_port()
    program = str(Path(sys.executable).with_name("moto_server"))
    certificate = _make_certificate(folder) if tls else None
    options = ["-c", str(certificate), "-k", str(folder / "s3.key")] if tls else []
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port), *options],
        env={"PATH": os.environ["PATH"], **({"INITIAL_NO_AUTH_ACTION_COUNT": "3"} if with_bucket else {})},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "s3.log").open("a"),
    )
    server = S3(folder, port, process, certificate)
    _wait(server)
    if with_bucket:
        server.make_bucket()
    return server


def _make_certificate(folder: Path) -> Path:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(folder / "s3.key")]
    name = ["-subj", "/CN=s3", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-days", "2", *key, *name, "-out", str(folder / "s3.crt")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "s3.crt"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: S3) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            requests.get(
                f"{server.endpoint}/moto-api/",
                timeout=5,
                verify=str(server.certificate) if server.certificate else True,
            )
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"The S3 server did not start:\n{(server.folder / 's3.log').read_text()[-2000:]}")
