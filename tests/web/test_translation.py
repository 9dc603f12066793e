"""Every sentence of the pages has a Chinese one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils.translation.template import templatize

WEB = Path(__file__).parents[2] / "web"
CATALOGUE = WEB / "locale/zh_Hans/LC_MESSAGES/django.po"


def entries() -> dict[str, str]:
    """The catalogue: English to Chinese."""
    found: dict[str, str] = {}
    for block in CATALOGUE.read_text().split("\n\n"):
        assert "#, fuzzy" not in block, block
        sides = re.split(r"^msgstr ", block.partition("msgid ")[2], flags=re.M)
        english, chinese = ("".join(map(ast.literal_eval, re.findall(r'^".*"$', side, re.M))) for side in sides)
        found[english] = chinese
    found.pop("")
    return found


def sentences() -> Iterator[str]:
    """What templates and views ask to be translated, by makemessages' own reading of templates."""
    # What the API's document says of itself, shown in the explorer.
    yield settings.API_DESCRIPTION
    for page in WEB.glob("templates/web/*.html"):
        for literal in re.findall(r"""gettext\((u'.+?'|u".+?")\)""", templatize(page.read_text())):
            yield ast.literal_eval(literal)
    for module in WEB.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                yield ast.literal_eval(node.args[0])


def test_every_sentence_is_translated() -> None:
    known = entries()
    used = set(sentences())
    assert len(used) > 90
    assert used - known.keys() == set()
    assert known.keys() - used == set()
    assert [english for english, chinese in known.items() if not chinese] == []


def test_translations_keep_the_blanks_to_fill() -> None:
    for english, chinese in entries().items():
        assert set(re.findall(r"%\(\w+\)s", english)) == set(re.findall(r"%\(\w+\)s", chinese)), english
