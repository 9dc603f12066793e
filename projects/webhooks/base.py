"""What is told, and what a kind of endpoint must know: how to put it in words for its receivers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from core import http


@dataclass(frozen=True)
class Message:
    """Something that happened, as it is told to the endpoints of one policy."""

    id: str
    """The same whenever and to whomever it is sent."""
    event_type: str
    occurred: int
    """Seconds since 1970."""
    operator: str
    request_id: str
    project_id: int
    policy_id: int
    data: Mapping[str, Any]
    """Harbor's `event_data`."""


class Endpoint:
    """A kind of endpoint."""

    formats: ClassVar[tuple[str, ...]] = ()
    """The payload formats to choose from, the usual one first; empty when there is no choice."""
    is_signed: ClassVar[bool] = False
    """Whether receivers look at signatures."""

    def shown(self, address: str) -> str:
        """An address as those may see it who may not change it: what follows `?` may be a secret."""
        return http.without_query(address)

    def body(self, message: Message, payload_format: str) -> str:
        """What is sent."""
        raise NotImplementedError

    def content_type(self, payload_format: str) -> str:
        """The Content-Type that it is sent as."""
        return "application/json"


def as_json(document: Mapping[str, Any]) -> str:
    """As Harbor's server writes it: no blanks, and letters as they are."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
