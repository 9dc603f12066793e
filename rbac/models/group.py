"""Groups of people; their members come from a directory or are kept by hand."""

from __future__ import annotations

from django.db import models


class Group(models.Model):
    """A group that can be a project's member."""

    class Kind(models.IntegerChoices):
        LDAP = 1, "LDAP"
        HTTP = 2, "HTTP"
        OIDC = 3, "OIDC"

    name = models.CharField(max_length=255)
    kind = models.IntegerField(choices=Kind)
    ldap_dn = models.CharField(max_length=512, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "kind", "ldap_dn"], name="group_is_unique"),
            models.UniqueConstraint(fields=["ldap_dn"], condition=~models.Q(ldap_dn=""), name="group_dn_once"),
        ]

    def __str__(self) -> str:
        return self.name
