"""How values are written on pages."""

from __future__ import annotations

from django import template

from projects.quotas import human

register = template.Library()


@register.filter
def size(number: int | None) -> str:
    """Bytes as people write them."""
    return human(number or 0)


@register.filter
def short(digest: str) -> str:
    """The first twelve digits of a digest, as docker shows them."""
    return digest.partition(":")[2][:12]


@register.filter
def platform_of(descriptor: dict[str, dict[str, str]]) -> str:
    """linux/arm64/v8"""
    said = descriptor.get("platform", {})
    return "/".join(str(said[key]) for key in ("os", "architecture", "variant") if said.get(key))
