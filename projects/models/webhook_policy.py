"""Webhook policies: whom a project tells of what happens in it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from core.fields import EncryptedTextField
from projects.models.project import Project


class WebhookPolicyQuerySet(models.QuerySet["WebhookPolicy"]):
    def wanting(self, event_type: str) -> WebhookPolicyQuerySet:
        """Those that are switched on and want to hear of this kind of event."""
        return self.filter(enabled=True, event_types__contains=[event_type])


class WebhookPolicy(models.Model):
    """Some kinds of events, and the endpoints that hear of them."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhook_policies")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    event_types = models.JSONField()
    """Harbor's words, such as PUSH_ARTIFACT."""
    enabled = models.BooleanField(default=True)
    creator = models.CharField(max_length=255)
    secret = EncryptedTextField()
    """Signs what is sent; `whsec_` and base64, as Standard Webhooks writes it."""
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[WebhookPolicy]] = WebhookPolicyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="webhook_policy_once_per_project"),
        ]

    def __str__(self) -> str:
        return self.name


class WebhookTarget(models.Model):
    """An endpoint of a policy. What is sent to it is sent in order (one series of tasks)."""

    class Type(models.TextChoices):
        HTTP = "http"
        SLACK = "slack"

    policy = models.ForeignKey(WebhookPolicy, on_delete=models.CASCADE, related_name="targets")
    position = models.IntegerField()
    type = models.CharField(max_length=16, choices=Type)
    address = models.TextField()
    auth_header = EncryptedTextField(blank=True)
    """The `Authorization` header, as it is sent."""
    skip_cert_verify = models.BooleanField(default=False)
    payload_format = models.CharField(max_length=16, blank=True)
    """Empty for a type that has only one."""
    failing_since = models.DateTimeField(null=True)
    """When the first delivery failed since the last one that did not, or since nothing had been tried for long."""
    last_failed = models.DateTimeField(null=True)
    """When one failed last."""
    disabled = models.DateTimeField(null=True)
    """When it had failed for so long that nothing is sent to it any more, until somebody saves the policy."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["policy", "position"], name="webhook_target_once_per_place")]

    def __str__(self) -> str:
        return self.address

    @property
    def series(self) -> str:
        """Of the tasks that send to it."""
        return f"webhook:{self.pk}"
