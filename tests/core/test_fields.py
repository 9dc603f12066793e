"""Secrets at rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet

from core import encryption_keys, fields
from core.fields import EncryptedTextField, Undecryptable

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
FIELD: Any = EncryptedTextField()


@pytest.fixture(autouse=True)
def fresh_keys() -> Iterator[None]:
    fields.keys.cache_clear()
    yield
    fields.keys.cache_clear()


def use(settings: Any, *keys: str) -> None:
    settings.ENCRYPTION_KEYS = list(keys)
    fields.keys.cache_clear()


def test_what_is_stored_tells_nothing_and_reads_as_it_was() -> None:
    stored = FIELD.get_prep_value("Bearer pässword")
    assert "pässword" not in stored
    assert stored != FIELD.get_prep_value("Bearer pässword")
    assert FIELD.from_db_value(stored, None, None) == "Bearer pässword"


def test_nothing_is_stored_as_nothing() -> None:
    assert [FIELD.get_prep_value(""), FIELD.get_prep_value(None)] == ["", None]
    assert [FIELD.from_db_value("", None, None), FIELD.from_db_value(None, None, None)] == ["", None]


def test_keys_are_rotated(settings: Any) -> None:
    use(settings, OLD)
    stored = FIELD.get_prep_value("secret")
    use(settings, NEW, OLD)
    assert FIELD.from_db_value(stored, None, None) == "secret"
    again = FIELD.get_prep_value(FIELD.from_db_value(stored, None, None))
    use(settings, NEW)
    assert FIELD.from_db_value(again, None, None) == "secret"
    with pytest.raises(Undecryptable, match="fernet-key"):
        FIELD.from_db_value(stored, None, None)


def test_a_secret_cannot_be_looked_for() -> None:
    with pytest.raises(TypeError, match="cannot be looked for"):
        FIELD.get_lookup("exact")


def test_keys_stand_one_a_line() -> None:
    assert encryption_keys.parse(f"{NEW}\n\n  {OLD}\n") == [NEW, OLD]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        (f"{NEW}\n{OLD[:20]}\n", "line 2 is no key, which is 32 bytes in base64, 44 characters"),
        (f"{OLD[:-1]}\n", "line 1 is no key"),
        (f"{OLD}{NEW}\n", "line 1 is no key"),
        (f"{OLD} {NEW}\n", "line 1 is no key"),
        ("<<<<<<< ours\n", "line 1 is no key"),
        ("schlüssel\n", "line 1 is no key"),
    ],
    ids=["empty", "blank", "half", "cut", "joined", "side by side", "a mark of a merge", "a word"],
)
def test_what_is_no_key_is_named_by_its_line_and_not_shown(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        encryption_keys.parse(text)
    assert OLD[:20] not in str(refused.value)
