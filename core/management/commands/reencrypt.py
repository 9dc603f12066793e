"""`manage.py reencrypt`: encrypt every stored secret with the newest key, so that older keys may go."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from core import fields


class Command(BaseCommand):
    help = "Encrypt every stored secret with the first key in the secret `fernet-key`."

    def handle(self, *args: Any, **options: Any) -> None:
        for model, name in fields.encrypted_columns():
            self.stdout.write(f"{model._meta.label}.{name}: {self._column(model, name)}")

    def _column(self, model: Any, name: str) -> int:
        """Row by row, each under its lock: a secret that is changed meanwhile must not come back."""
        count = 0
        for pk in model.objects.exclude(**{f"{name}__isnull": True}).values_list("pk", flat=True).order_by("pk"):
            with transaction.atomic():
                row = model.objects.select_for_update(of=("self",)).only("pk").filter(pk=pk).first()
                if row is None:
                    continue
                try:
                    text = getattr(row, name)
                except fields.Undecryptable as error:
                    raise CommandError(f"{model._meta.label} {pk}: {error}") from error
                if text:
                    model.objects.filter(pk=pk).update(**{name: text})
                    count += 1
        return count
