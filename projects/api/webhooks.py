"""/projects/{project}/webhook: a project's webhook policies, and what was sent for them, as in Harbor."""

from __future__ import annotations

from typing import Any, Required

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Flag, Form, Text
from core.api.operations import operation
from jobservice.api.executions import PolicyExecutions, PolicyTasks
from jobservice.models import Execution
from projects import webhook_history, webhook_messages, webhook_policies
from projects.api import answers
from projects.api.parents import InProject
from projects.models import WebhookPolicy, WebhookTarget
from projects.webhook_policies import Terms
from projects.webhooks import KINDS
from rbac.access import allowed

_RESOURCE = "notification-policy"


class TargetForm(Form):
    type = Text(default="")
    address = Text(default="")
    auth_header = Text(default="")
    skip_cert_verify = Flag(default=False)
    payload_format = Text(default="")


class PolicyForm(Form):
    # What is missing is Go's empty value, as in Harbor: a policy is off unless one says that it is on.
    name = Text(default="")
    description = Text(default="")
    event_types = serializers.ListField(child=Text(), default=list)
    targets = serializers.ListField(child=TargetForm(), default=list)
    enabled = Flag(default=False)


class WebhookPolicies(InProject):
    """Whom a project tells of what."""

    resource = _RESOURCE
    verbs = {"secret": "update"}
    filter_fields = {
        "id": "id",
        "name": "name",
        "description": "description",
        "enabled": "enabled",
        "creator": "creator",
        "creation_time": "created",
        "update_time": "updated",
    }
    default_sort = ("-created",)

    @operation("List a project's webhook policies", lists=answers.WebhookPolicy)
    def list(self, request: Request, **_: Any) -> Response:
        rows = WebhookPolicy.objects.filter(project=self.get_project()).defer("secret").prefetch_related("targets")
        return self.listing(rows, self._as_json)

    @operation("Create a webhook policy", body=PolicyForm, status=201, refuses=(409, 412))
    def create(self, request: Request, **_: Any) -> Response:
        terms = self._terms()
        policy = webhook_policies.create(project=self.get_project(), terms=terms, actor=self.actor)
        return self.created(policy.pk)

    @operation("Read a webhook policy", gives=answers.WebhookPolicy)
    def retrieve(self, request: Request, policy_id: int, **_: Any) -> Response:
        return Response(self._as_json(webhook_policies.find(self.get_project(), policy_id)))

    @operation(
        "Change a webhook policy; what waits stays with its endpoint, or goes to its successor",
        body=PolicyForm,
        refuses=(409, 412),
    )
    def update(self, request: Request, policy_id: int, **_: Any) -> Response:
        project = self.get_project()
        # Before its endpoints' names are looked up.
        webhook_policies.find(project, policy_id)
        webhook_policies.update(project=project, policy_id=policy_id, terms=self._terms(), actor=self.actor)
        return self.done()

    @operation("Delete a webhook policy; what waits is not sent")
    def destroy(self, request: Request, policy_id: int, **_: Any) -> Response:
        webhook_policies.delete(project=self.get_project(), policy_id=policy_id, actor=self.actor)
        return self.done()

    @operation("Give a webhook policy another secret for signatures, which is told once", gives=answers.WebhookSecret)
    def secret(self, request: Request, policy_id: int, **_: Any) -> Response:
        project = self.get_project()
        secret = webhook_policies.change_secret(project=project, policy_id=policy_id, actor=self.actor)
        return Response({"secret": secret})

    def _terms(self) -> Terms:
        return webhook_policies.checked(**self.body(PolicyForm))

    def _as_json(self, policy: WebhookPolicy) -> dict[str, Any]:
        """Harbor's WebhookPolicy. Who may not change it need not know what authorises us."""
        is_told = allowed(self.actor, _RESOURCE, "update", self.get_project())
        targets = sorted(policy.targets.all(), key=lambda target: target.position)
        return json.without_empty(
            {
                "id": policy.pk,
                "name": policy.name,
                "description": policy.description,
                "project_id": policy.project_id,
                "targets": [_target(target, is_told) for target in targets],
                "event_types": policy.event_types,
                "creator": policy.creator,
                "creation_time": json.time(policy.created),
                "update_time": json.time(policy.updated),
                "enabled": policy.enabled,
            },
            keep=("enabled",),
        )


class Webhooks(InProject):
    """What there is to say of all of them."""

    resource = _RESOURCE
    verbs = {"last_trigger": "read", "event_types": "read"}

    @operation("When each policy last told of each kind of event", gives=list[answers.WebhookLastTrigger])
    def last_trigger(self, request: Request, **_: Any) -> Response:
        policies = list(WebhookPolicy.objects.filter(project=self.get_project()).order_by("name"))
        latest = webhook_history.last_told(policies)
        return Response(
            [
                json.without_empty(
                    {
                        "policy_name": policy.name,
                        "event_type": event_type,
                        "enabled": policy.enabled,
                        "creation_time": json.time(policy.created),
                        "last_trigger_time": json.time(latest.get((policy.pk, event_type))),
                    }
                )
                for policy in policies
                for event_type in policy.event_types
            ]
        )

    @operation("What a webhook policy can tell of, and how", gives=answers.WebhookEvents)
    def event_types(self, request: Request, **_: Any) -> Response:
        self.get_project()
        formats = [{"notify_type": name, "formats": [*kind.formats]} for name, kind in KINDS.items() if kind.formats]
        return Response(
            {"event_type": webhook_policies.EVENT_TYPES, "notify_type": list(KINDS), "payload_formats": formats}
        )


class OfWebhookPolicy(InProject):
    """What was sent for the policy of the path."""

    resource = _RESOURCE

    def executions(self) -> QuerySet[Execution]:
        return webhook_history.executions_of(webhook_policies.find(self.get_project(), self.kwargs["policy_id"]))


class WebhookExecutions(OfWebhookPolicy, PolicyExecutions):
    """One message to one endpoint each."""

    verbs = {"list": "read", "redeliver": "update"}

    @operation("Send once more what was sent", status=201, refuses=(412,))
    def redeliver(self, request: Request, policy_id: int, execution_id: int, **_: Any) -> Response:
        made = webhook_history.redeliver(
            project=self.get_project(), policy_id=policy_id, execution_id=execution_id, actor=self.actor
        )
        return self.created(f"{made.id}/tasks", under=request.path.rpartition("/")[0].rpartition("/")[0])


class WebhookTasks(OfWebhookPolicy, PolicyTasks):
    """The tries to deliver it."""

    verbs = {"list": "read", "log": "read"}


class WebhookJobs(InProject):
    """The same as Harbor's older clients know it."""

    resource = _RESOURCE
    filter_fields = {"id": "id", "status": "status", "creation_time": "start_time", "update_time": "update_time"}
    default_sort = ("-id",)

    @operation(
        "List what was sent for a policy, for older clients",
        lists=answers.WebhookJob,
        query={"policy_id": Required[int], "status": str},
        refuses=(404,),
    )
    def list(self, request: Request, **_: Any) -> Response:
        policy = webhook_policies.find(self.get_project(), self._policy_id())
        rows = webhook_history.executions_of(policy)
        wanted = [word for text in request.query_params.getlist("status") for word in text.split(",") if word]
        return self.listing(rows.filter(status__in=wanted) if wanted else rows, _job)

    def _policy_id(self) -> int:
        text = self.required("policy_id")
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise errors.Unprocessable(f"policy_id in query must be of type int64: {text[:40]!r}")
        return int(text)


def _target(target: WebhookTarget, is_told: bool) -> dict[str, Any]:
    return json.without_empty(
        {
            "type": target.type,
            "address": target.address,
            "auth_header": target.auth_header if is_told else "",
            "skip_cert_verify": target.skip_cert_verify,
            "payload_format": target.payload_format,
        }
    )


def _job(execution: Execution) -> dict[str, Any]:
    """Harbor's WebhookJob."""
    kind = {name: kind for kind, name in webhook_messages.VENDOR_TYPES.items()}[execution.vendor_type]
    return json.without_empty(
        {
            "id": execution.id,
            "policy_id": execution.vendor_id,
            "event_type": execution.extra_attrs.get("event_type", ""),
            "notify_type": kind.value,
            "status": execution.status,
            "job_detail": execution.extra_attrs.get("payload", ""),
            "creation_time": json.time(execution.start_time),
            "update_time": json.time(execution.update_time),
        }
    )
