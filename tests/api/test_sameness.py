"""What somebody may not know of looks like what does not exist, byte for byte but for his own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db.models import Q

from projects.models import Artifact, AuditLog, Label, Project, Repository
from rbac.models import Robot, User
from tests.api.who_may import SUBJECTS, TABLE, Route, caller, expected, ids_for, may, objects_of, robot_permissions
from tests.api.world import ABSENT, World, ask, undone

pytestmark = pytest.mark.django_db

# Harbor tells everybody who signed in which names of projects are taken: nobody could choose one else.
TELLS = {"HEAD /projects?project_name={project_name}"}


def heard(answer: Any, *own_words: object) -> tuple[int, dict[str, str], bytes]:
    """Everything of an answer that a caller could tell two by; what he said himself is taken out."""
    content = answer.content
    for word in sorted(map(str, own_words), key=len, reverse=True):
        content = content.replace(word.encode(), b"?")
    # Its length shows no more than how long the caller's own words are.
    headers = {name: value for name, value in answer.items() if name not in ("X-Request-Id", "Content-Length")}
    return answer.status_code, headers, content


def pairs(route: Route) -> Iterator[tuple[str, str]]:
    """What others have and what nobody has."""
    objects = [*objects_of(route)]
    yield from [("foreign", "absent")] * ({"foreign", "absent"} <= {*objects})
    yield from ((obj, obj.replace("foreign", "absent")) for obj in objects if obj.startswith("foreign "))


COMPARED = [route for route in TABLE if route.key not in TELLS and [*pairs(route)]]


@pytest.mark.parametrize("route", COMPARED, ids=lambda route: route.key)
def test_what_is_forbidden_sounds_like_what_is_not_there(world: World, route: Route) -> None:
    for theirs, nothing in pairs(route):
        for subject in SUBJECTS:
            # Who has the right to both (as to his own parent) hears 404 of both; who has it to one is no stranger.
            is_child = " " in theirs
            if expected(route, subject, theirs) is None or (may(route, subject, theirs) and not is_child):
                continue
            answers = []
            for obj in (theirs, nothing):
                ids = ids_for(obj, world.places)
                if "user_id" in route.names and obj == "foreign":
                    ids["user_id"] = world.people["victor"].pk
                path, body = route.at(ids)
                with undone():
                    answer = ask(caller(world, route, subject), route.method, path, body)
                answers.append(heard(answer, *(ids[name] for name in route.names)))
            assert answers[0] == answers[1], (subject, theirs)


def hidden_children(route: Route) -> list[str]:
    return [name for name in route.names if name in ("repository_name", "reference", "tag_name", "digest")]


@pytest.mark.parametrize("route", [each for each in TABLE if hidden_children(each)], ids=lambda route: route.key)
def test_a_guest_of_some_tags_cannot_tell_the_others_from_none(world: World, route: Route) -> None:
    tess = world.people["tess"]
    for name in hidden_children(route):
        answers = []
        for ids in ({name: world.hidden[name]}, {name: ABSENT[name]}):
            if name == "repository_name":
                # The tag is called as the one that she sees in the other repository.
                ids["reference"] = ids["tag_name"] = "v1"
            whole = {**world.places["own"], **ids}
            path, body = route.at(whole)
            with undone():
                answer = ask(tess, route.method, path, body)
            answers.append(heard(answer, ids[name]))
        assert answers[0] == answers[1], name
        assert answers[0][0] == (404 if may(route, "guest of some tags", "own") else 403)


# --- what somebody may not know of has no effect on anything that he sees ------------------------------------------
_APP = "/projects/team/repositories/app/artifacts"
EXPLAIN = "/projects/team/access/explain"
QUERIES = (
    *(f"{_APP}?q=tags={tags}" for tags in ("unseen", "~u", "{unseen v1}", "[a~z]", "*", "nil")),
    *(f"{_APP}?q=type={kind}" for kind in ("IMAGE", "~a")),
    f"{_APP}?with_label=true&with_accessory=true&page_size=1",
    *(f"{_APP}?sort={key}" for key in ("size", "-size", "id", "digest", "push_time", "pull_time")),
    f"{_APP}/v1/tags?q=name=~e",
    "/projects/team/repositories?q=name=~con",
    "/repositories?q=name=team/concealed",
    *(f"/repositories?sort={key}" for key in ("name", "-name", "-update_time", "pull_count")),
    "/projects?sort=-update_time&with_detail=true",
    "/projects?q=name={team vault}",
    "/auditlog-exts?q=resource=~u",
    f"{EXPLAIN}?subject=tess&action=pull&reference=concealed:v1",
)
"""What a list is asked, by who looks for more than it shows."""
# Their answers tell the time.
_CLOCKS = {"GET /systeminfo", "GET /health"}
READS = [route for route in TABLE if route.method == "GET" and route.key not in _CLOCKS]


def everything(world: World, who: User | Robot | None) -> dict[str, Any]:
    """All that somebody can read with his own project's ids, one page and the next."""
    ids = {**world.places["own"], "user_id": world.people["bob"].pk}
    seen = {}
    for route in READS:
        path, _ = route.at(ids)
        mark = "&" if "?" in path else "?"
        for query in ("", f"{mark}page_size=2", f"{mark}page=2&page_size=1"):
            seen[path + query] = heard(ask(who, "GET", path + query))
    hidden = f"{_APP}?q=digest={world.hidden['reference']}"
    return seen | {path: heard(ask(who, "GET", path)) for path in (*QUERIES, hidden)}


def remove(world: World) -> None:
    """The strangers' project as if it had never been."""
    place = world.foreign
    AuditLog.objects.filter(project_id=place.pk).delete()
    Robot.objects.filter(project_id=place.pk).delete()
    Label.objects.filter(project=place).delete()
    Repository.objects.filter(project=place).update(deleted=place.created)
    Project.objects.filter(pk=place.pk).update(deleted=place.created)


def remove_hidden(world: World) -> None:
    """What Tess does not see, as if it had never been."""
    artifacts = Artifact.objects.filter(
        Q(repository__name="team/concealed") | Q(manifest=world.hidden["reference"]), repository__project=world.team
    )
    assert artifacts.count() == 2
    for artifact in artifacts:
        artifact.tags.all().delete()
    artifacts.update(deleted=world.team.created)
    assert Repository.objects.filter(name="team/concealed").update(deleted=world.team.created) == 1


@pytest.mark.parametrize("name", ["alice", "bob", "mia", "carol", "liam", "tess", "mallory", "robot", "nobody"])
def test_what_strangers_have_changes_no_answer(world: World, name: str) -> None:
    who: User | Robot | None = world.people.get(name)
    if name == "robot":
        everywhere = next(route for route in TABLE if route.kind == "S")
        lists = robot_permissions(everywhere, is_with=False)
        in_team = [entry for entry in lists if entry["namespace"] == "team"]
        who = Robot(pk=world.robot.pk, kept_name="robot$tester", level="system", permissions=in_team)
    before = everything(world, who)
    with undone():
        remove(world)
        after = everything(world, who)
    assert [path for path, answer in before.items() if after[path] != answer] == []


def test_the_system_admin_sees_that_something_is_gone(world: World) -> None:
    """Else the test above would prove nothing."""
    root = world.people["root"]
    before = everything(world, root)
    with undone():
        remove(world)
        after = everything(world, root)
    changed = {path for path, answer in before.items() if after[path] != answer}
    assert {"/projects", "/repositories", "/quotas", "/statistics", "/auditlog-exts"} <= changed


def test_the_tags_that_a_guest_does_not_have_change_no_answer(world: World) -> None:
    tess, alice = world.people["tess"], world.people["alice"]
    before, known = everything(world, tess), everything(world, alice)
    with undone():
        remove_hidden(world)
        after, less = everything(world, tess), everything(world, alice)
    assert [path for path, answer in before.items() if after[path] != answer] == []
    seen = {path for path, answer in known.items() if less[path] != answer}
    assert {"/repositories", "/projects/team", _APP, f"{_APP}?q=tags=~u", f"{_APP}?sort=-size"} <= seen


@pytest.mark.parametrize("others", ["robot$vault+vault-bot", "robot$system-bot"])
def test_an_explanation_knows_no_robots_of_others(world: World, others: str) -> None:
    answers = [
        heard(ask(world.people["alice"], "GET", f"{EXPLAIN}?subject={quote(name)}&action=pull"), name)
        for name in (others, "robot$vault+nothing")
    ]
    assert answers[0] == answers[1]


def test_who_makes_a_robot_does_not_learn_which_projects_there_are(world: World) -> None:
    maker = Robot(
        pk=world.robot.pk,
        kept_name="robot$tester",
        level="system",
        permissions=[{"kind": "system", "namespace": "/", "access": [{"resource": "robot", "action": "create"}]}],
    )
    answers = []
    for name in ("vault", "nowhere"):
        given = [{"kind": "project", "namespace": name, "access": [{"resource": "repository", "action": "pull"}]}]
        body = {"name": "spy", "level": "system", "duration": 1, "permissions": given}
        answers.append(heard(ask(maker, "POST", "/robots", body), name))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403
