"""Pages."""

from __future__ import annotations

from django.urls import path, register_converter
from django.views.i18n import set_language

from web.converters import DigestConverter
from web.views import api, artifacts, jobs, projects, repositories, signing, webhooks

register_converter(DigestConverter, "digest")

app_name = "web"
urlpatterns = [
    path("", projects.index, name="projects"),
    path("sign-in", signing.sign_in, name="sign-in"),
    path("sign-out", signing.sign_out, name="sign-out"),
    path("language", set_language, name="language"),
    # Where Harbor has it.
    path("devcenter-api-2.0", api.explorer, name="api"),
    path("jobs", jobs.index, name="jobs"),
    path("jobs/<int:number>", jobs.one, name="job"),
    path("projects/<str:project_name>", repositories.index, name="repositories"),
    path(
        "projects/<str:project_name>/repositories/<path:name>/artifacts/<digest:digest>", artifacts.one, name="artifact"
    ),
    path("projects/<str:project_name>/repositories/<path:name>", artifacts.index, name="artifacts"),
    path("projects/<str:project_name>/webhooks", webhooks.index, name="webhooks"),
    path("projects/<str:project_name>/webhooks/new", webhooks.new, name="new-webhook"),
    path("projects/<str:project_name>/webhooks/<int:policy_id>", webhooks.one, name="webhook"),
    path("projects/<str:project_name>/webhooks/<int:policy_id>/change", webhooks.change, name="change-webhook"),
    path("projects/<str:project_name>/webhooks/<int:policy_id>/switch", webhooks.switch, name="switch-webhook"),
    path("projects/<str:project_name>/webhooks/<int:policy_id>/delete", webhooks.delete, name="delete-webhook"),
    path("projects/<str:project_name>/webhooks/<int:policy_id>/secret", webhooks.secret, name="webhook-secret"),
    path(
        "projects/<str:project_name>/webhooks/<int:policy_id>/deliveries/<int:execution_id>",
        webhooks.delivery,
        name="webhook-delivery",
    ),
    path(
        "projects/<str:project_name>/webhooks/<int:policy_id>/deliveries/<int:execution_id>/send-again",
        webhooks.send_again,
        name="send-webhook-again",
    ),
]
