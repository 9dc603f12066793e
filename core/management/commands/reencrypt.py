"""`manage.py reencrypt`: encrypt every stored secret with the newest key, so that older keys may go."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from core import fields

ENCRYPTED, FORGOTTEN, NOTHING = "encrypted", "forgotten", "nothing"


class Command(BaseCommand):
    help = "Encrypt every stored secret with the first key in the secret `fernet-key`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--forget-lost",
            action="store_true",
            help="empty what none of the keys can decrypt, when the key that could is lost for good",
        )

    def handle(self, *args: Any, forget_lost: bool, **options: Any) -> None:
        for model, name in fields.encrypted_columns():
            rows = model._default_manager.exclude(**{f"{name}__isnull": True}).order_by("pk")
            done = Counter(_encrypt(model, name, pk, forget_lost) for pk in rows.values_list("pk", flat=True))
            forgotten = f", and {done[FORGOTTEN]} forgotten" if done[FORGOTTEN] else ""
            self.stdout.write(f"{model._meta.label}.{name}: {done[ENCRYPTED]}{forgotten}")


def _encrypt(model: Any, name: str, pk: int, forget_lost: bool) -> str:
    """One row, under its lock: a secret that is changed meanwhile must not come back. What became of it."""
    with transaction.atomic():
        row = model.objects.select_for_update(of=("self",)).only("pk").filter(pk=pk).first()
        if row is None:
            return NOTHING
        try:
            text = getattr(row, name)
        except fields.Undecryptable as error:
            if not forget_lost:
                words = f"{model._meta.label} {pk}: {error} If it is lost for good, say --forget-lost."
                raise CommandError(words) from error
            model.objects.filter(pk=pk).update(**{name: ""})
            return FORGOTTEN
        if not text:
            return NOTHING
        model.objects.filter(pk=pk).update(**{name: text})
        return ENCRYPTED
