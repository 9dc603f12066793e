"""An upload need not start when the project's quota is used up."""

from __future__ import annotations

from core import errors
from projects import quotas
from registry.operation import Operation


def quota_is_left(operation: Operation) -> None:
    if quotas.is_spent(project=operation.project):
        raise errors.QuotaExceeded
