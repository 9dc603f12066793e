"""A project's webhooks: whom it tells of what, and what became of each message."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core import errors
from jobservice import finders
from jobservice.models import Execution
from projects import webhook_deliveries, webhook_history, webhook_policies
from projects.models import Project, WebhookPolicy, WebhookTarget
from projects.webhook_deliveries import Silence
from web import live, logs
from web.delivery_lines import deliveries_of, readable
from web.lists import page_of
from web.visible import actor_of, may_change, project_or_404, refuse_in_read_only_mode, refuse_unless_allowed
from web.webhook_forms import PolicyForm
from web.webhook_words import SILENCES
from web.words import Words

_RESOURCE = "notification-policy"
# A page that asks every two seconds must not count what months have left behind.
SHOWN_DELIVERIES = 1000


@dataclass(frozen=True)
class Line:
    """A policy in the list."""

    policy: WebhookPolicy
    targets: list[WebhookTarget]
    latest: Execution | None


@dataclass(frozen=True)
class Trouble:
    """An endpoint that does not answer as it should, and what it was the last time."""

    target: WebhookTarget
    reason: str


@require_safe
def index(request: HttpRequest, project_name: str) -> HttpResponse:
    """The project's policies by name, and what was sent last for each."""
    project = project_or_404(request, project_name, _RESOURCE)
    # Secrets are not shown, and need not be decrypted.
    targets = Prefetch("targets", WebhookTarget.objects.defer("auth_header"))
    rows = WebhookPolicy.objects.filter(project=project).defer("secret").prefetch_related(targets).order_by("name")
    page = page_of(request, rows)
    latest = webhook_history.latest_of(list(page))
    context = {
        "project": project,
        "page": page,
        "lines": [Line(policy, _in_order(policy), latest.get(policy.pk)) for policy in page],
        "may_change": may_change(request, project, _RESOURCE, "create"),
    }
    return render(request, "web/webhooks.html", context)


@require_safe
def one(request: HttpRequest, project_name: str, policy_id: int) -> HttpResponse:
    """What a policy says, what is wrong with its endpoints, and its deliveries, which live."""
    project = project_or_404(request, project_name, _RESOURCE, "read")
    policy = webhook_policies.find(project, policy_id)
    targets = _in_order(policy)
    page = page_of(request, webhook_history.latest_ids(policy, SHOWN_DELIVERIES))
    sent = Execution.objects.filter(id__in=list(page)).order_by("-id")
    context = {
        "project": project,
        "policy": policy,
        "targets": targets,
        "platform_is_silent": any(webhook_deliveries.silence_of(target) == Silence.PLATFORM for target in targets),
        "troubles": [Trouble(each, webhook_history.trouble_at(each)) for each in targets if each.failing_since],
        "page": page,
        "deliveries": deliveries_of(list(sent), targets),
        "is_whole": page.paginator.count < SHOWN_DELIVERIES,
        "most": SHOWN_DELIVERIES,
        "may_change": may_change(request, project, _RESOURCE),
    }
    return live.render(request, "web/webhook.html", "web/_webhook.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, project_name: str) -> HttpResponse:
    """The form for a policy; a POST makes it."""
    return _form(request, _project_for(request, project_name, "create"), None)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, project_name: str, policy_id: int) -> HttpResponse:
    """The form of a policy; a POST changes it."""
    project = _project_for(request, project_name, "update")
    return _form(request, project, webhook_policies.find(project, policy_id))


@require_POST
def switch(request: HttpRequest, project_name: str, policy_id: int) -> HttpResponse:
    """Switch a policy on or off."""
    project = _project_to_change(request, project_name, "update")
    webhook_policies.switch(
        project=project, policy_id=policy_id, enabled=request.POST.get("enabled") == "on", actor=actor_of(request)
    )
    return _to_policy(project, policy_id)


@require_POST
def delete(request: HttpRequest, project_name: str, policy_id: int) -> HttpResponse:
    project = _project_to_change(request, project_name, "delete")
    webhook_policies.delete(project=project, policy_id=policy_id, actor=actor_of(request))
    return HttpResponseRedirect(reverse("web:webhooks", args=[project.name]))


@never_cache
@require_POST
def secret(request: HttpRequest, project_name: str, policy_id: int) -> HttpResponse:
    """Make another secret. This answer is the only place where it is ever shown."""
    project = _project_to_change(request, project_name, "update")
    made = webhook_policies.change_secret(project=project, policy_id=policy_id, actor=actor_of(request))
    context = {
        "project": project,
        "policy": webhook_policies.find(project, policy_id),
        "secret": made,
        "here": reverse("web:webhook", args=[project.name, policy_id]),
    }
    return render(request, "web/webhook_secret.html", context)


@require_safe
def delivery(request: HttpRequest, project_name: str, policy_id: int, execution_id: int) -> HttpResponse:
    """One message: what was sent, and what was answered at each try."""
    project = project_or_404(request, project_name, _RESOURCE, "read")
    return _delivery(request, webhook_policies.find(project, policy_id), execution_id)


@require_POST
def send_again(request: HttpRequest, project_name: str, policy_id: int, execution_id: int) -> HttpResponse:
    """Send a message once more; what became of that is shown next."""
    project = _project_to_change(request, project_name, "update")
    try:
        made = webhook_history.redeliver(
            project=project, policy_id=policy_id, execution_id=execution_id, actor=actor_of(request)
        )
    except webhook_deliveries.NotSent as refusal:
        policy = webhook_policies.find(project, policy_id)
        return _delivery(request, policy, execution_id, refused=SILENCES[refusal.why], status=refusal.status)
    return HttpResponseRedirect(reverse("web:webhook-delivery", args=[project.name, policy_id, made.id]))


def _project_for(request: HttpRequest, name: str, action: str) -> Project:
    """The project, for who may do this with its policies."""
    project = project_or_404(request, name, _RESOURCE)
    refuse_unless_allowed(request, project, _RESOURCE, action)
    return project


def _project_to_change(request: HttpRequest, name: str, action: str) -> Project:
    """The same while anything may be changed; a form says that it may not beside what was typed."""
    project = _project_for(request, name, action)
    refuse_in_read_only_mode()
    return project


def _in_order(policy: WebhookPolicy) -> list[WebhookTarget]:
    """A policy's endpoints, which know it."""
    targets = sorted(policy.targets.all(), key=lambda target: target.position)
    for target in targets:
        target.policy = policy
    return targets


def _to_policy(project: Project, policy_id: int) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("web:webhook", args=[project.name, policy_id]))


def _form(request: HttpRequest, project: Project, policy: WebhookPolicy | None) -> HttpResponse:
    """The form, and what becomes of it."""
    form = PolicyForm(policy, request.POST if request.method == "POST" else None)
    status = 200
    if "add" in request.POST:
        form = form.with_one_more()
    elif "remove" in request.POST:
        form = form.without(request.POST["remove"])
    elif request.method == "POST":
        if saved := _save(request, project, policy, form):
            return _to_policy(project, saved)
        status = form.status
    return render(request, "web/webhook_form.html", {"project": project, "policy": policy, "form": form}, status=status)


def _save(request: HttpRequest, project: Project, policy: WebhookPolicy | None, form: PolicyForm) -> int | None:
    """Make or change a policy, and return its id; None when the form says what is wrong."""
    terms = form.terms()
    if terms is None:
        return None
    try:
        refuse_in_read_only_mode()
        if policy is None:
            return webhook_policies.create(project=project, terms=terms, actor=actor_of(request)).pk
        webhook_policies.update(project=project, policy_id=policy.pk, terms=terms, actor=actor_of(request))
    except errors.Refusal as refusal:
        form.refuse(refusal)
        return None
    return policy.pk


def _delivery(
    request: HttpRequest, policy: WebhookPolicy, number: int, *, refused: Words = "", status: int = 200
) -> HttpResponse:
    execution = finders.find_execution(webhook_history.executions_of(policy), number)
    sent = next(iter(deliveries_of([execution], _in_order(policy))), None)
    if sent is None:
        raise Http404
    text, is_whole = logs.end_of([sent.task.id])
    is_final = sent.task.is_final
    context = {
        "project": policy.project,
        "policy": policy,
        "delivery": sent,
        "payload": readable(sent.payload),
        "log": text,
        "is_whole": is_whole,
        "is_final": is_final,
        "silence": refused or (SILENCES[sent.silence] if sent.silence else ""),
        "here": reverse("web:webhook-delivery", args=[policy.project.name, policy.pk, number]),
        "may_change": may_change(request, policy.project, _RESOURCE),
    }
    return live.render(request, "web/delivery.html", "web/_delivery.html", context, is_final=is_final, status=status)
