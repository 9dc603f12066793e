"""Tag scopes: the patterns in a guest's membership that name the tags he is limited to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core import errors, globs
from projects.models.project import TagScope

MOST_ENTRIES = 20
MOST_TAG_PATTERNS = 50
# Braces multiply, and every request of such a guest reads them all.
MOST_WRITTEN_OUT = MOST_ENTRIES * (MOST_TAG_PATTERNS + 1)


def checked(given: Sequence[Mapping[str, Any]]) -> TagScope:
    """The scope as it is kept; BadRequest when it is empty, too long or holds a malformed pattern.

    A pattern that matches nothing that is there yet is fine: it may name what is pushed tomorrow.
    """
    if not 1 <= len(given) <= MOST_ENTRIES:
        raise errors.BadRequest(
            f"tag_scope has 1 to {MOST_ENTRIES} entries; leave it out, or say null, for a guest who sees everything"
        )
    scope = [_checked_entry(entry) for entry in given]
    if sum(len(globs.alternatives(pattern)) for pattern in _patterns(scope)) > MOST_WRITTEN_OUT:
        raise errors.BadRequest(f"with its braces written out, tag_scope has more than {MOST_WRITTEN_OUT} patterns")
    return scope


def in_words(scope: TagScope | None) -> str:
    """For people and the audit log: `app: v1.*, latest; lib/**: **`; empty for everything."""
    return "; ".join(f"{entry['repository']}: {', '.join(entry['tags'])}" for entry in scope or ())


def _patterns(scope: TagScope) -> Iterator[str]:
    for entry in scope:
        yield from (entry["repository"], *entry["tags"])


def _checked_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    repository, tags = entry["repository"], list(dict.fromkeys(entry["tags"]))
    if not 1 <= len(tags) <= MOST_TAG_PATTERNS:
        raise errors.BadRequest(f"each entry of tag_scope has 1 to {MOST_TAG_PATTERNS} patterns in `tags`")
    for pattern in (repository, *tags):
        globs.alternatives(pattern)
    if any("/" in pattern for pattern in tags):
        raise errors.BadRequest("a tag holds no slash, so a pattern with one in `tags` would never match")
    return {"repository": repository, "tags": tags}
