"""What went wrong, in words for people. The API's texts stay English; these are translated."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from core import errors

Words = str | Promise

# By status: a title, and what it means or what to do about it.
_PAGES: dict[int, tuple[Words, Words]] = {
    400: (_("This cannot be understood"), _("The address or the form holds something that cannot be read here.")),
    403: (_("This is not allowed"), _("Your account may not do this. Ask an administrator of the project.")),
    404: (_("Nothing to see here"), _("This page does not exist, or it is not yours to see.")),
    405: (_("This is no page"), _("This address only takes what a form sends. Go back and use the form.")),
    429: (_("Too fast"), _("There were too many requests from here. Wait a minute and try again.")),
    500: (_("Something went wrong"), _("This is our mistake, not yours. It was written down; try again later.")),
    503: (
        _("One moment"),
        _("A part of Wharf does not answer right now. What is stored is safe; try again in a moment."),
    ),
}
_REFUSALS: dict[type[errors.Refusal], Words] = {
    errors.ReadOnly: _("Wharf is in read-only mode: nothing can be changed until an administrator ends it."),
}


def page_for(status: int) -> tuple[Words, Words]:
    """Title and text of an error's page."""
    return _PAGES.get(status) or _PAGES[500 if status >= 500 else 400]


def of(refusal: errors.Refusal) -> Words:
    """What a refusal says on its page."""
    return _REFUSALS.get(type(refusal)) or page_for(refusal.status)[1]
