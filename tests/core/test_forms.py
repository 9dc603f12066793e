"""What is wrong with a value is said with what would be right."""

from __future__ import annotations

import pytest
from rest_framework.exceptions import ValidationError

from core.api.exceptions import as_refusal
from core.api.forms import Choice, Form


class Action(Form):
    action = Choice(["stop", "pause"])


class Order(Form):
    what = Action()


def test_a_word_that_is_not_offered_is_answered_with_those_that_are() -> None:
    form = Action(data={"action": "dance"})
    assert not form.is_valid()
    assert form.errors["action"] == ["'dance' is none of 'stop', 'pause'"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "a JSON object, {...}, is expected here"),
        ("stop", "a JSON object, {...}, is expected here"),
        ({"what": "stop"}, "what: a JSON object, {...}, is expected here"),
        ({"what": {"action": "dance"}}, "what: action: 'dance' is none of 'stop', 'pause'"),
    ],
)
def test_what_is_no_object_is_told_so_in_words_of_json(body: object, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Order(data=body).is_valid(raise_exception=True)
    refusal = as_refusal(refused.value)
    assert refusal is not None
    assert (refusal.status, refusal.message) == (422, words)
