"""Path converters for Harbor's names."""

from __future__ import annotations

from urllib.parse import unquote


class RepositoryConverter:
    """A repository's name inside its project. Clients encode its slashes twice (`a%252Fb`) or once."""

    regex = ".+"

    def to_python(self, value: str) -> str:
        name = unquote(value)
        if "\0" in name:
            raise ValueError("a null byte is in no name")
        return name

    def to_url(self, value: str) -> str:
        return value.replace("/", "%2F")
