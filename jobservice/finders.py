"""Executions as callers name them: by a number, among those that they may know of and nowhere else."""

from __future__ import annotations

from django.db.models import QuerySet

from core import errors
from jobservice.models import Execution


def find_execution(among: QuerySet[Execution], number: int) -> Execution:
    """The one of these executions that has this number; NotFound."""
    execution = among.filter(id=number).first()
    if execution is None:
        raise errors.NotFound(f"execution {number} not found")
    return execution
