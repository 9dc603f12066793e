"""What is measured: each phase puts one kind of load on one target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench import images, load
from bench.client import Client, Failed
from bench.images import ACCEPT, Blob, Image
from bench.load import Load, Work
from bench.targets import Target

BIG_BYTES = 256 << 20
LAYERS, LAYER_BYTES = 4, 1 << 20
PULL_TAG = "four-layers"
# Several, so that no single answer is all that is ever asked for.
SMALL_IMAGES = 20


@dataclass(frozen=True)
class Effort:
    """How much is done in one pass."""

    seconds: int
    """Of the phases that count what was done in a time."""
    images: int
    """Pushed by each client."""
    big_blobs: int
    """Fetched by all clients together."""
    clients: int = 4
    """Of pushes and pulls."""
    connections: int = 16
    """Of HEAD."""


@dataclass(frozen=True)
class Bench:
    """A target that holds what the phases ask for, every byte of it checked."""

    target: Target
    effort: Effort
    small: list[Image] = field(default_factory=list)
    big: list[Blob] = field(default_factory=list)

    def prepare(self) -> None:
        """Push what will be asked for, and pull it again with all digests computed."""
        client = Client(self.target.url)
        headers = self.target.headers(client, "pull,push")
        wanted = {f"small-{number}": images.make_image(1, 1024) for number in range(SMALL_IMAGES)}
        self.small.extend(wanted.values())
        for tag, image in {**wanted, PULL_TAG: images.make_image(LAYERS, LAYER_BYTES)}.items():
            images.push(client, self.target.repository, headers, image, tag)
            images.pull(client, self.target.repository, headers, tag, verify=True)

    def manifest_by_tag(self) -> Load:
        return self._ask([f"manifests/small-{number}" for number in range(SMALL_IMAGES)], {"Accept": ACCEPT})

    def manifest_by_digest(self) -> Load:
        return self._ask([f"manifests/{image.digest}" for image in self.small], {"Accept": ACCEPT})

    def token(self, account: str) -> Load:
        """Tokens for one scope; the account has signed in before."""
        path, headers = self.target.token_path("pull"), self.target.credentials(account)
        Client(self.target.url).ask("GET", path, headers)
        return load.ask_repeatedly(self.target, [path], headers, self.effort.seconds)

    def head_blob(self) -> Load:
        paths = [f"/v2/{self.target.repository}/blobs/{image.blobs[0].digest}" for image in self.small]

        def prepare(number: int) -> Work:
            client = Client(self.target.url)
            headers = self.target.headers(client, "pull")
            turns = iter(range(number, 1 << 30))
            return lambda: load.for_seconds(
                self.effort.seconds, lambda: _done(client.ask("HEAD", paths[next(turns) % len(paths)], headers))
            )

        return load.together(self.target, self.effort.connections, prepare)

    def pull(self) -> Load:
        """Whole images, with a fresh token each."""

        def prepare(number: int) -> Work:
            client = Client(self.target.url)

            def pull() -> None:
                headers = self.target.headers(client, "pull")
                images.pull(client, self.target.repository, headers, PULL_TAG)

            return lambda: load.for_seconds(self.effort.seconds, pull)

        return load.together(self.target, self.effort.clients, prepare)

    def push(self) -> Load:
        """Whole new images, with a fresh token each."""

        def prepare(number: int) -> Work:
            client = Client(self.target.url)
            made = [images.make_image(LAYERS, LAYER_BYTES) for _ in range(self.effort.images)]
            return lambda: [load.timed(partial(self.target.push, client, image)) for image in made]

        return load.together(self.target, self.effort.clients, prepare)

    def big_blob(self, streams: int) -> Load:
        path = f"/v2/{self.target.repository}/blobs/{self._big_blob().digest}"

        def prepare(number: int) -> Work:
            client = Client(self.target.url)
            headers = self.target.headers(client, "pull")

            def fetch() -> None:
                answer = client.ask("GET", path, headers, drop=True)
                if answer.length != BIG_BYTES:
                    raise Failed(f"{path} has {answer.length} bytes")

            return lambda: [load.timed(fetch) for _ in range(max(1, self.effort.big_blobs // streams))]

        return load.together(self.target, streams, prepare)

    def _ask(self, paths: list[str], headers: dict[str, str]) -> Load:
        token = self.target.headers(Client(self.target.url), "pull")
        whole = [f"/v2/{self.target.repository}/{path}" for path in paths]
        return load.ask_repeatedly(self.target, whole, {**headers, **token}, self.effort.seconds)

    def _big_blob(self) -> Blob:
        """Pushed when it is first wanted."""
        if not self.big:
            client = Client(self.target.url)
            self.big.append(images.make_blob(BIG_BYTES))
            headers = self.target.headers(client, "pull,push")
            images.push_blob(client, self.target.repository, headers, self.big[0])
        return self.big[0]


@dataclass(frozen=True)
class Phase:
    """One line of the result: Wharf's load, the registry's that it is compared with, and the ratio to reach."""

    name: str
    wharf: Callable[[Bench], Load]
    bare: Callable[[Bench], Load]
    least: float
    """The ratio of Wharf's rate to the bare registry's that is promised."""
    operation_bytes: int = 0
    """When given, the rate is told in MB a second."""


PHASES = (
    Phase("manifest by tag", Bench.manifest_by_tag, Bench.manifest_by_tag, 1.2),
    Phase("manifest by digest", Bench.manifest_by_digest, Bench.manifest_by_digest, 1.2),
    Phase("HEAD blob", Bench.head_blob, Bench.head_blob, 1.0),
    Phase("pull, 4 of 1 MiB, a token each", Bench.pull, Bench.pull, 0.9),
    Phase("push, 4 of 1 MiB, a token each", Bench.push, Bench.push, 0.75),
    Phase("256 MiB blob, 1 stream", lambda b: b.big_blob(1), lambda b: b.big_blob(1), 0.6, BIG_BYTES),
    Phase("256 MiB blob, 8 streams", lambda b: b.big_blob(8), lambda b: b.big_blob(8), 0.6, BIG_BYTES),
    Phase("robot's token, to its manifest by tag", lambda b: b.token("robot"), Bench.manifest_by_tag, 0.8),
    Phase("user's token, to its manifest by tag", lambda b: b.token("user"), Bench.manifest_by_tag, 0.8),
)


def _done(_: object) -> None:
    """Nothing to look at in the answer."""
