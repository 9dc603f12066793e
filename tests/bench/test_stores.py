"""A store that is written without any server is one to a registry."""

from __future__ import annotations

from pathlib import Path

from bench import images, stores, targets
from bench.client import Client


def test_a_stock_registry_serves_what_was_filled_in(tmp_path: Path) -> None:
    made = stores.fill(tmp_path, "team/app", 2, tagged=1)
    assert stores.data_bytes(tmp_path) == 2 * stores.image_bytes()
    with targets.bare_registry(tmp_path, deletes=True) as bare:
        client = Client(bare.url)
        for reference in ("v0", made[1].digest):
            images.pull(client, "team/app", {}, reference, verify=True)
        assert b'"tags":["v0"]' in client.ask("GET", "/v2/team/app/tags/list", {}).body
        client.ask("DELETE", f"/v2/team/app/manifests/{made[0].digest}", {}, expect=202)


def test_its_collector_takes_what_has_no_tag(tmp_path: Path) -> None:
    stores.fill(tmp_path, "team/app", 3, tagged=1)
    targets.collect_offline(tmp_path)
    assert stores.data_bytes(tmp_path) == stores.image_bytes()
