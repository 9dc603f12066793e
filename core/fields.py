"""Columns whose content is encrypted at rest (invariant I10): what we must be able to send, and nobody should read.

The keys are the lines of the secret `fernet-key`, the newest first: it encrypts, all of them decrypt.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import models

from core import errors

if TYPE_CHECKING:
    _Text = models.TextField[str, str]
else:
    _Text = models.TextField


class Undecryptable(errors.Refusal):
    """A secret was encrypted with a key that is not in `fernet-key` (any more): put it there as another line."""

    status = 500
    # What needs the secret waits for the key.
    permanent = False


class EncryptedTextField(_Text):
    """A secret in words. Nothing is stored as nothing, so that one may ask whether there is one."""

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return keys().encrypt(text.encode()).decode() if text else text

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        if not value:
            return value
        try:
            return keys().decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise Undecryptable from error

    def get_lookup(self, lookup_name: str) -> Any:
        """Two encryptions of one text differ: there is nothing to look for."""
        if lookup_name != "isnull":
            raise TypeError(f"{self.name} is encrypted, and cannot be looked for by {lookup_name}")
        return super().get_lookup(lookup_name)


@cache
def keys() -> MultiFernet:
    """All keys."""
    return MultiFernet([Fernet(line) for line in settings.ENCRYPTION_KEYS])


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    """Every column that is encrypted: its model and its name."""
    return [
        (model, field.attname)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, EncryptedTextField)
    ]
