"""What is wrong with a value is said with what would be right."""

from __future__ import annotations

from core.api.forms import Choice, Form


class Action(Form):
    action = Choice(["stop", "pause"])


def test_a_word_that_is_not_offered_is_answered_with_those_that_are() -> None:
    form = Action(data={"action": "dance"})
    assert not form.is_valid()
    assert form.errors["action"] == ["'dance' is none of 'stop', 'pause'"]
