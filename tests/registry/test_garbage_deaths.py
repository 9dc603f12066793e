"""A collection is killed -9 at every step; nothing that is needed goes, and the next attempt takes the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection

from core import clock
from jobservice import runner, service, sweep
from jobservice.models import Execution, Task
from jobservice.status import Trigger
from projects import artifacts, links
from projects.models import Artifact, Blob, Manifest, RepositoryBlob
from registry.garbage import collection
from registry.jobs import GarbageCollection
from tests import factories
from tests.e2e.client import make_image
from tests.jobservice.jobs import log_of, tasks_of
from tests.old_registry import STORE
from tests.registry.test_garbage import NOW, assert_sound, digests_of, stored, untag

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_store")]

# What the collector does in turn; it dies when it has done that for the second time.
STEPS = [
    ("projects.artifacts", "purge"),
    ("projects.artifacts", "delete_unneeded"),
    ("projects.links", "claim"),
    ("core.store.files", "remove_links"),
    ("projects.links", "forget"),
    ("projects.blobs", "claim"),
    ("core.store.files", "remove_data"),
    ("projects.blobs", "forget"),
    ("registry.garbage.candidates", "forget_manifests"),
    ("core.store.uploads", "remove"),
]
COLLECTOR = """
import importlib, os, sys, django
django.setup()
place, name, task = sys.argv[1:]
from jobservice import runner
from registry.garbage import collection
collection.BATCH = 2
module = importlib.import_module(place)
original, calls = getattr(module, name), []
def deadly(*arguments, **named):
    calls.append(1)
    result = original(*arguments, **named)
    if len(calls) == 2:
        os.kill(os.getpid(), 9)
    return result
setattr(module, name, deadly)
runner.run(int(task), worker="test/1")
"""


def collect_and_die(task: Task, place: str, name: str) -> int:
    """Run the task in a process of its own; how that ended."""
    database = connection.settings_dict
    folder = str(database["HOST"]).replace("/", "%2F")
    environment = {
        **os.environ,
        "WHARF_DATABASE_URL": f"postgres://{database['USER']}@{folder}/{database['NAME']}",
        "DJANGO_SETTINGS_MODULE": "core.settings",
        "GC_TIME_WINDOW_HOURS": "0",
    }
    command = [sys.executable, "-c", COLLECTOR, place, name, str(task.id)]
    return subprocess.run(command, env=environment, timeout=120, capture_output=True).returncode


@pytest.mark.parametrize(("place", "name"), STEPS, ids=lambda part: part.rpartition(".")[2])
def test_who_dies_there_leaves_nothing_half_done(place: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = factories.user("alice")
    app = factories.repository(factories.project("team", alice), "app")
    shared = os.urandom(80)
    kept = factories.push(app, alice, "kept", make_image(shared))
    for _ in range(4):
        artifacts.delete(artifact=factories.push(app, alice, None, make_image(shared, os.urandom(80))), actor=alice)
    for _ in range(4):
        untag(factories.push(app, alice, "untagged"), alice)
    uploads = [STORE / "repositories" / app.name / "_uploads" / str(number) for number in range(3)]
    for upload in uploads:
        upload.mkdir(parents=True)
        (upload / "startedat").write_text("long ago")
    again = make_image(shared, os.urandom(80))

    execution = service.submit(GarbageCollection, trigger=Trigger.MANUAL, params={"delete_untagged": True})
    (task,) = tasks_of(execution)
    assert collect_and_die(task, place, name) == -9
    assert_sound()
    # Others push meanwhile; what is just being removed they may not have yet.
    factories.push(app, alice, "again", again)

    # A minute later.
    RepositoryBlob.objects.filter(state="deleting").update(touched=clock.now() - timedelta(minutes=2))
    Blob.objects.filter(state="deleting").update(claimed=clock.now() - timedelta(minutes=2))
    Task.objects.filter(id=task.id).update(lease=clock.now() - timedelta(seconds=1))
    assert sweep.end_lost() == 1
    monkeypatch.setattr(links, "GRACE", NOW)
    monkeypatch.setattr(collection, "BATCH", 2)
    runner.run(task.id, worker="test/2")
    assert Execution.objects.get(id=execution.id).status == "Success", log_of(task)

    needed = digests_of(kept) | digests_of(Artifact.objects.get(manifest=again.digest))
    assert stored() == needed
    assert set(Blob.objects.values_list("digest", flat=True)) == needed
    assert Artifact.objects.count() == Manifest.objects.count() == 2
    assert not any(upload.exists() for upload in uploads)
    assert_sound()
