"""Wharf's API keeps Harbor's contract: what is routed answers as it says, and what is not routed yet is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.urls import resolve

from core import oci
from core.api.slashes import cleaned
from core.clock import now
from core.store import files
from projects import immutable_rules, labels
from projects.api import icons
from projects.models import Artifact, Member, Project, ProjectCveAllowlist, Quota, Reference
from rbac.roles import Role
from tests import rows
from tests.contracts import contract
from tests.contracts.contract import OPERATIONS, Operation
from tests.rest import Api, code

pytestmark = pytest.mark.django_db

TAGS = {
    "ping",
    "health",
    "search",
    "statistic",
    "systeminfo",
    "configure",
    "user",
    "usergroup",
    "project",
    "projectMetadata",
    "member",
    "repository",
    "artifact",
    "label",
    "robot",
    "quota",
    "permissions",
    "auditlog",
    "immutable",
    "SystemCVEAllowlist",
    "icon",
    "jobservice",
    "schedule",
    "gc",
    "purge",
    "webhook",
    "webhookjob",
}
"""What Wharf's API has or is to have; the other tags come with their features (scanning, replication, …)."""

_REPOSITORY = "/projects/{project_name}/repositories/{repository_name}"
ARTIFACTS = f"{_REPOSITORY}/artifacts"
ARTIFACT = f"{ARTIFACTS}/{{reference}}"
PROJECT = "/projects/{project_name_or_id}"

UNDOCUMENTED: dict[tuple[str, int], str] = {
    (f"GET {PROJECT}", 403): "somebody signed in who is no member of a private project",
    (f"DELETE {PROJECT}", 401): "nobody signed in, as for every other operation on a project",
    (f"DELETE {PROJECT}/members/{{mid}}", 404): "no such member, as for GET and PUT on the same path",
    ("HEAD /projects", 401): "nobody signed in: strangers must not learn which names are taken",
    ("GET /robots", 401): "nobody signed in, as for one robot",
    ("GET /robots", 403): "no right to list robots, as for one robot",
    ("GET /labels", 403): "somebody signed in who is no member of the private project, as for everything in it",
    ("POST /labels", 403): "no right to make labels there, as for everything in a project",
    ("GET /auditlog-exts/events", 403): "no right to the audit log, as for everything of the system's",
    ("GET /projects/{project_name}/auditlog-exts", 403): "no right to the project's log, as for its other resources",
    ("GET /projects/{project_name}/logs", 403): "as for auditlog-exts",
    (f"POST {PROJECT}/immutabletagrules", 409): "the project has such a rule already",
    (f"DELETE {PROJECT}/immutabletagrules/{{immutable_rule_id}}", 404): "no such rule, as for everything in a project",
    (f"POST {PROJECT}/webhook/policies", 409): "the project has a policy of this name already",
    ("POST /robots", 409): "the name is taken, as for PUT on a robot",
}
"""Answers that the description leaves out, each with what it means and why clients can expect it."""

ANSWERED_TO_NOBODY_HERE = {
    "GET /internalconfig": "it is for Harbor's own services, which have a secret between them; there are none here",
    "GET /systeminfo/getcert": "the authority of a trial certificate is the platform's that has one",
}
"""Reads that nobody of these tests gets 200 for, each with why."""

REFUSED_TO_EVERYBODY_HERE = {
    f"PUT {PROJECT}/scanner": "there is no scanner to choose yet",
    "PUT /users/{user_id}/cli_secret": "it is for people who sign in by OIDC, and here nobody does",
}
"""Changes that nobody of these tests gets through, each with why."""

WITHOUT_A_BODY = {f"GET {PROJECT}/scanner": "there is no scanner, of which Harbor says nothing, with 200"}
"""Reads whose documented body is missing here, each with why."""

AMENDED: dict[str, dict[str, Any]] = {
    # Harbor writes null for these three lists when they are empty.
    "Artifact": {
        "labels": {"type": ["array", "null"], "items": {"$ref": "#/$defs/Label"}},
        "tags": {"type": ["array", "null"], "items": {"$ref": "#/$defs/Tag"}},
        "accessories": {"type": ["array", "null"], "items": {"$ref": "#/$defs/Accessory"}},
    },
    # The description has these names in quotes that belong to its own notation; OCI's names are meant.
    "Platform": {"os.version": {"type": "string"}, "os.features": {"type": "array", "items": {"type": "string"}}},
    # Wharf's own: guests who may have some tags only. Clients of Harbor ignore a field that they do not know.
    "ProjectMemberEntity": {
        "tag_scope": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "repository": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["repository", "tags"],
                "additionalProperties": False,
            },
        }
    },
}
"""Fields in which an answer may differ from the description, in JSON Schema, each with why."""

FILES = {f"GET {ARTIFACT}/additions/vulnerabilities", f"GET {ARTIFACT}/additions/{{addition}}"}
"""Reads whose answer is a file, of whatever type: a text to the description."""

TAKEN_FOR_A_REPOSITORY = {
    f"POST {ARTIFACT}/scan",
    f"POST {ARTIFACT}/scan/stop",
}
"""Paths that are a repository's as well, since its name may hold slashes: it exists, but not with this method."""

SAMPLES: dict[str, object] = {
    "project_name": "team",
    "project_name_or_id": "team",
    "repository_name": "app",
    "reference": "v1",
    "tag_name": "v1",
    "meta_name": "severity",
    "addition": "build_history",
    "digest": "sha256:" + "0" * 64,
    "job_type": "GARBAGE_COLLECTION",
    "preheat_instance_name": "heater",
    "preheat_policy_name": "warm",
    **dict.fromkeys(("id", "mid", "user_id", "group_id", "robot_id", "label_id", "immutable_rule_id", "pool_id"), 7),
    **dict.fromkeys(("execution_id", "task_id", "eid", "tid", "gc_id", "purge_id", "job_id", "report_id"), 7),
    **dict.fromkeys(("webhook_policy_id", "registration_id"), 7),
}
_PULLS = {"kind": "project", "namespace": "team", "access": [{"resource": "repository", "action": "pull"}]}
RULE: dict[str, Any] = {
    "action": "immutable",
    "template": "immutable_template",
    "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "v*"}],
    "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
}
HOOK: dict[str, Any] = {
    "name": "hook",
    "event_types": ["PUSH_ARTIFACT"],
    "targets": [{"type": "http", "address": "https://192.0.1.1/hook"}],
    "enabled": True,
}
_CVE = {"cve_id": "CVE-2026-1"}
CHANGES: dict[str, Any] = {
    "POST /projects": {"project_name": "new", "metadata": {"public": "true"}, "cve_allowlist": {"items": [_CVE]}},
    f"PUT {PROJECT}": {"metadata": {"severity": "low"}, "cve_allowlist": {"items": [_CVE], "expires_at": 1900000000}},
    f"DELETE {PROJECT}": None,
    f"POST {PROJECT}/members": {"role_id": 3, "member_user": {"username": "root"}},
    f"PUT {PROJECT}/members/{{mid}}": {"role_id": 4},
    f"DELETE {PROJECT}/members/{{mid}}": None,
    f"PUT {_REPOSITORY}": {"description": "new"},
    f"DELETE {_REPOSITORY}": None,
    f"POST {ARTIFACTS}": None,
    f"DELETE {ARTIFACT}": None,
    f"POST {ARTIFACT}/tags": {"name": "v2"},
    f"DELETE {ARTIFACT}/tags/{{tag_name}}": None,
    f"POST {PROJECT}/metadatas/": {"reuse_sys_cve_allowlist": "true"},
    f"PUT {PROJECT}/metadatas/{{meta_name}}": {"severity": "low"},
    f"DELETE {PROJECT}/metadatas/{{meta_name}}": None,
    f"POST {PROJECT}/immutabletagrules": RULE,
    f"PUT {PROJECT}/immutabletagrules/{{immutable_rule_id}}": {"disabled": True},
    f"DELETE {PROJECT}/immutabletagrules/{{immutable_rule_id}}": None,
    f"POST {PROJECT}/webhook/policies": HOOK,
    f"PUT {PROJECT}/webhook/policies/{{webhook_policy_id}}": {**HOOK, "enabled": False},
    f"DELETE {PROJECT}/webhook/policies/{{webhook_policy_id}}": None,
    "POST /labels": {"name": "tested", "scope": "g"},
    "PUT /labels/{label_id}": {"name": "proven"},
    "DELETE /labels/{label_id}": None,
    # `Populated` knows the number.
    f"POST {ARTIFACT}/labels": {"id": 0},
    f"DELETE {ARTIFACT}/labels/{{label_id}}": None,
    "PUT /quotas/{id}": {"hard": {"storage": 1 << 30}},
    "PUT /configurations": {"banner_message": '{"message": "Maintenance on Sunday"}', "token_expiration": 3},
    "POST /usergroups": {"group_name": "fresh", "group_type": 1, "ldap_group_dn": "cn=fresh,dc=example,dc=com"},
    "PUT /usergroups/{group_id}": {"group_name": "renamed"},
    "DELETE /usergroups/{group_id}": None,
    "PUT /system/CVEAllowlist": {"items": [_CVE], "expires_at": 1900000000},
    "POST /robots": {
        "name": "fresh",
        "level": "system",
        "duration": 30,
        "permissions": [_PULLS],
    },
    "PUT /robots/{robot_id}": {"name": "builder", "level": "project", "disable": True, "permissions": [_PULLS]},
    "PATCH /robots/{robot_id}": {"secret": ""},
    "DELETE /robots/{robot_id}": None,
    "POST /users": {
        "username": "nora",
        "email": "nora@example.com",
        "realname": "Nora",
        "password": "Str0ng-enough",
    },
    "PUT /users/{user_id}": {"email": "a@example.com", "realname": "A", "comment": ""},
    "DELETE /users/{user_id}": None,
    "PUT /users/{user_id}/password": {"new_password": "Str0ng-enough"},
    "PUT /users/{user_id}/cli_secret": {"secret": "Str0ng-enough"},
    f"PUT {PROJECT}/scanner": {"uuid": "1f3e0f1c-0000-4000-8000-000000000000"},
    "PUT /users/{user_id}/sysadmin": {"sysadmin_flag": True},
    "PUT /jobservice/jobs/{job_id}": None,
    "PUT /jobservice/queues/{job_type}": {"action": "pause"},
    "POST /system/gc/schedule": {"schedule": {"type": "Manual"}, "parameters": {"workers": 2}},
    "PUT /system/gc/schedule": {"schedule": {"type": "Daily"}},
    "PUT /system/gc/{gc_id}": None,
    "POST /system/purgeaudit/schedule": {
        "schedule": {"type": "Manual"},
        "parameters": {"audit_retention_hour": 24, "include_event_types": "create_artifact,delete_tag"},
    },
    "PUT /system/purgeaudit/schedule": {"schedule": {"type": "Weekly"}, "parameters": {"audit_retention_hour": 24}},
    "PUT /system/purgeaudit/{purge_id}": None,
}
"""A change that an admin may make, for every routed operation that changes something; None has no body."""

PART = {
    "platform": {
        "architecture": "arm64",
        "os": "windows",
        "os.version": "10.0.1",
        "os.features": ["win32k"],
        "variant": "v8",
    },
    "annotations": {"a": "b"},
    "urls": ["https://example.com/layer"],
}
"""A descriptor in an index, with all that may be said of it."""

ICON = b"\x89PNG\r\n\x1a\n"
"""No more of a PNG than tells that it is one."""

DEFINITIONS = contract.definitions(AMENDED)


def ours() -> list[Operation]:
    return [operation for operation in OPERATIONS.values() if operation.tag in TAGS]


def is_routed(operation: Operation) -> bool:
    match = resolve(cleaned(f"/api/v2.0{operation.at(SAMPLES)}"))
    view = getattr(match.func, "cls", None)
    methods = getattr(match.func, "actions", None) or dir(view)
    # A repository's name may hold slashes, so its view would take many an unknown path for a name.
    whole = sorted(str(SAMPLES[name]) for name in operation.parameters)
    return view is not None and operation.method.lower() in methods and sorted(map(str, match.kwargs.values())) == whole


def test_every_operation_is_routed() -> None:
    missing = {str(operation) for operation in ours() if not is_routed(operation)}
    print(f"\n{len(ours()) - len(missing)} of {len(ours())} operations are routed")
    assert not missing


def _queries(team: Project, hook: int) -> dict[str, list[str]]:
    """Operation → what it is asked with."""
    return {
        "GET /robots": ["", f"?q=Level=project,ProjectID={team.pk}"],
        "GET /labels": ["?scope=g", f"?scope=p&project_id={team.pk}", ""],
        "GET /users/current/permissions": [f"?scope=/project/{team.pk}&relative=true"],
        "GET /search": ["?q=t", "?q=pe", ""],
        "GET /users/search": ["?username=a"],
        "GET /usergroups/search": ["?groupname=crew"],
        "HEAD /projects": ["?project_name=team", "?project_name=nothing", ""],
        f"GET {ARTIFACTS}": ["?with_accessory=true&with_label=true", "?with_tag=false", "?with_immutable_status=true"],
        f"GET {PROJECT}/artifacts": [
            "?with_accessory=true&with_label=true",
            "?latest_in_repository=true&q=media_type=application/vnd.oci.image.config.v1%252Bjson",
            "?latest_in_repository=true",
        ],
        f"GET {ARTIFACT}": ["?with_accessory=true&with_immutable_status=true"],
        f"GET {ARTIFACT}/tags": ["?with_immutable_status=true"],
        f"POST {ARTIFACTS}": ["?from=team/app:v1"],
        f"GET {PROJECT}/webhook/jobs": [f"?policy_id={hook}"],
    }


def give_icon(image: Artifact) -> str:
    """Let an image's layer be its icon; the digest."""
    digest = oci.digest_of(ICON)
    files.write_data(digest, ICON)
    Reference.objects.filter(artifact=image, kind=Reference.Kind.LAYER).update(
        digest=digest, size=len(ICON), descriptor={"annotations": {icons.ANNOTATION: ""}}
    )
    return digest


class Populated:
    """A system with something of everything, so that as many fields as possible are filled."""

    def __init__(self) -> None:
        self.story = story = rows.make_story()
        team, alice = story.team, story.alice
        alice.realname, alice.comment = "Alice A.", "owns team"
        alice.save()
        team.metadata = {"severity": "high", "prevent_vul": "true", "auto_scan": "true"}
        team.save()
        ProjectCveAllowlist.objects.create(project=team, cve_ids=["CVE-2026-1"], expires=now(), created=now())
        rows.make_project("open", alice, public=True)
        crew = rows.make_group(users=[story.bob])
        rows.add_member(team, crew, Role.MAINTAINER)
        rows.add_member(team, rows.make_user("luke"), Role.LIMITED_GUEST)
        rows.add_member(team, rows.make_user("tess"), Role.GUEST, tag_scope={"app": ["v*"]})
        app = rows.make_repository(team, "app", description="Our app")
        platform = {"architecture": "amd64", "os": "linux"}
        history = '{"history": [{"created_by": "a test"}]}'
        facts: dict[str, Any] = {"annotations": {"a": "b"}, "extra_attrs": platform, "pulled": now()}
        image = rows.make_artifact(app, "v1", config=history, **facts)
        icon = give_icon(image)
        rows.make_artifact(app, subject=image)
        rows.make_index(app, [rows.make_artifact(app, extra_attrs=platform)], "latest")
        Reference.objects.filter(kind=Reference.Kind.CHILD).update(descriptor=PART)
        label = labels.create(project=team, name="stable", description="Kept", color="#0065AB", actor=alice)
        labels.put_on(artifact=image, label_id=label.pk, actor=alice)
        free = labels.create(project=team, name="new", description="", color="", actor=alice)
        life = {
            "description": "builds",
            "duration_days": 30,
            "expires": now() + timedelta(days=30),
            "creator_ref": alice.pk,
        }
        robot = rows.make_robot(team, ["repository:pull"], "builder", **life)
        rows.make_robot(None, ["user:list"], "system-bot")
        selectors = immutable_rules.checked(
            tags=[{**RULE["tag_selectors"][0], "decoration": "excludes"}], scope=RULE["scope_selectors"]
        )
        rule = immutable_rules.create(project=team, selectors=selectors, disabled=True, priority=1, actor=alice)
        run, task = rows.make_run()
        purge, _ = rows.make_run("PURGE_AUDIT_LOG")
        hook, sent, tried = rows.make_webhook(team)
        self.ids: dict[str, object] = {
            **SAMPLES,
            "webhook_policy_id": hook.pk,
            "execution_id": sent.id,
            "task_id": tried.id,
            "gc_id": run.id,
            "purge_id": purge.id,
            "job_id": str(task.job_id),
            "pool_id": "all",
            "mid": Member.objects.get(project=team, user=story.bob).pk,
            "user_id": alice.pk,
            "robot_id": robot.pk,
            "label_id": label.pk,
            "digest": icon,
            "group_id": crew.pk,
            "immutable_rule_id": rule.pk,
            "id": Quota.objects.get(project=team).pk,
        }
        # A project that holds anything cannot be deleted.
        self.others = {
            f"DELETE {PROJECT}": {"project_name_or_id": "open"},
            "GET /schedules/{job_type}/paused": {"job_type": "all"},
        }
        self.bodies = {f"POST {ARTIFACT}/labels": {"id": free.pk}}
        self.queries = _queries(team, hook.pk)

    def paths(self, operation: Operation) -> list[str]:
        """The path of an operation on what exists here, with all that it is asked with."""
        ids = {**self.ids, **self.others.get(str(operation), {})}
        return [operation.at(ids) + query for query in self.queries.get(str(operation), [""])]

    def callers(self) -> dict[str, Api]:
        story = self.story
        people = {"root": story.admin, "alice": story.alice, "bob": story.bob, "mallory": story.mallory}
        return {**{name: Api(person) for name, person in people.items()}, "nobody": Api()}


@pytest.fixture
def populated(db: None) -> Populated:
    return Populated()


def routed_ones(*methods: str) -> list[Operation]:
    return [each for each in ours() if each.method in methods]


def content(answer: Any, operation: Operation | None = None) -> Any:
    is_file = answer.status_code == 200 and str(operation) in FILES
    is_json = "json" in answer.get("Content-Type", "") and not is_file
    return answer.json() if is_json else answer.content.decode()


def schema_of(operation: Operation, status: int) -> Mapping[str, Any] | None:
    """The schema of an answer. Errors have one, also where the description only gives their number."""
    if status >= 400:
        return {"$ref": "#/definitions/Errors"}
    schema: Mapping[str, Any] | None = (operation.response(status) or {}).get("schema")
    return schema


def broken(operation: Operation, answer: Any) -> list[str]:
    """How an answer breaks the contract, in words."""
    status, said = answer.status_code, operation.response(answer.status_code)
    # A value of the wrong form: Harbor answers it before any operation, and documents it nowhere.
    if said is None and status != 422 and status not in excused(operation):
        return [f"{status} is not documented"]
    wrong = [f"the header {name} is missing" for name in headers_of(said or {}) if name not in answer]
    schema = schema_of(operation, status)
    is_empty = operation.method == "HEAD" or (status == 200 and str(operation) in WITHOUT_A_BODY)
    if schema is None or is_empty:
        return wrong + (["there is a body where none is documented"] if answer.content else [])
    return wrong + contract.mistakes(schema, content(answer, operation), DEFINITIONS)


def excused(operation: Operation) -> set[int]:
    return {status for key, status in UNDOCUMENTED if key == str(operation)}


def headers_of(said: Mapping[str, Any]) -> set[str]:
    """The headers of a documented answer; a list of one page has nothing to link to."""
    return set(said.get("headers", {})) - {"Link"}


def test_whatever_is_read_keeps_the_contract(populated: Populated) -> None:
    wrong, possible, seen = [], set(), set()
    for operation in routed_ones("GET", "HEAD"):
        statuses = set[int]()
        for who, api in populated.callers().items():
            for path in populated.paths(operation):
                answer = getattr(api, operation.method.lower())(path)
                statuses.add(answer.status_code)
                wrong += [f"{operation} for {who}: {mistake}" for mistake in broken(operation, answer)]
                if answer.status_code == 200 and (schema := schema_of(operation, 200)):
                    possible |= contract.fields_of(schema)
                    seen |= set(contract.filled(schema, content(answer, operation)))
        if (200 in statuses) == (str(operation) in ANSWERED_TO_NOBODY_HERE):
            wrong.append(f"{operation} answers: {statuses}")
        wrong += [f"{operation}: {status} is excused and never answered" for status in excused(operation) - statuses]
    print(f"\n{len(possible - seen)} of {len(possible)} fields were never filled: {', '.join(sorted(possible - seen))}")
    assert not wrong, "\n".join(wrong)


def attempts(operation: Operation, path: str, body: Any, populated: Populated) -> Iterator[tuple[str, Any]]:
    """A change tried by people who may not, with bodies that cannot be, by an admin, and once more."""

    def send(api: Api, body: Any) -> Any:
        return getattr(api, operation.method.lower())(path, body)

    admin = Api(populated.story.admin)
    yield "nobody", send(Api(), body)
    yield "a stranger", send(Api(populated.story.mallory), body)
    if body is not None:
        yield "an admin with a list as the body", send(admin, [])
        yield "an admin with an empty body", send(admin, {})
    yield "an admin", send(admin, body)
    yield "an admin once more", send(admin, body)


@pytest.mark.parametrize("key", CHANGES)
def test_whatever_is_changed_keeps_the_contract(populated: Populated, key: str) -> None:
    operation = OPERATIONS[key]
    (path,) = populated.paths(operation)
    answers = list(attempts(operation, path, populated.bodies.get(key, CHANGES[key]), populated))
    wrong = [f"{who}: {mistake}" for who, answer in answers for mistake in broken(operation, answer)]
    assert not wrong, "\n".join(wrong)
    statuses = {answer.status_code for _, answer in answers}
    assert (min(statuses) < 300) is (key not in REFUSED_TO_EVERYBODY_HERE), [answer.content for _, answer in answers]
    assert excused(operation) <= statuses, "excused and never answered"


def test_every_routed_change_is_tried() -> None:
    assert set(CHANGES) == {str(operation) for operation in routed_ones("POST", "PUT", "PATCH", "DELETE")}


def test_nothing_is_excused_that_is_documented() -> None:
    assert [key for key, status in UNDOCUMENTED if OPERATIONS[key].response(status) is not None] == []


def test_what_wharf_does_not_do_yet_is_an_error_in_harbors_form() -> None:
    story = rows.make_story()
    rows.make_artifact(rows.make_repository(story.team, "app"), "v1")
    admin, met = Api(story.admin), {}
    others = [operation for operation in OPERATIONS.values() if operation.tag not in TAGS]
    for operation in others:
        answer = getattr(admin, operation.method.lower())(operation.at(SAMPLES))
        met[str(operation)] = (answer.status_code, code(answer))
        assert broken_error(answer) == [], operation
    print(f"\n{len(others)} operations are refused")
    assert met == {
        key: (405, "METHOD_NOT_ALLOWED") if key in TAKEN_FOR_A_REPOSITORY else (404, "NOT_FOUND") for key in met
    }


def broken_error(answer: Any) -> list[str]:
    return contract.mistakes({"$ref": "#/definitions/Errors"}, content(answer), DEFINITIONS)
