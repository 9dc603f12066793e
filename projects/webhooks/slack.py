"""Slack's incoming webhooks, and what understands their blocks."""

from __future__ import annotations

import json

from projects.webhooks.base import Endpoint, Message, as_json

# A section's text may have 3000 characters.
_MOST = 2900


class Slack(Endpoint):
    def shown(self, address: str) -> str:
        """The path is the secret."""
        return f"{'/'.join(address.split('/')[:3])}/…"

    def body(self, message: Message, payload_format: str) -> str:
        at = f"<!date^{message.occurred}^{{date}} at {{time}}|{message.occurred}>"
        data = _escaped(json.dumps(message.data, indent=2, ensure_ascii=False))
        told = data if len(data) <= _MOST else f"{data[:_MOST]}…"
        return as_json(
            {
                "blocks": [
                    _section("*Harbor webhook events*"),
                    _section(f"*event_type:* {message.event_type}"),
                    _section(f"*occur_at:* {at}"),
                    _section(f"*operator:* {_escaped(message.operator)}"),
                    _section("*event_data:*"),
                    _section(f"```{told}```"),
                ]
            }
        )


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _escaped(text: str) -> str:
    """Slack's three characters that mean something to it; names must not call people or link anywhere."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("```", "` ` `")
