"""The form of a webhook policy: what was typed, what is wrong with it in words beside it, and the terms it makes.

Django's forms look at its shape; what it means is judged where the API's is, by `webhook_policies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from core import errors, events, http
from projects import webhook_policies
from projects.models import WebhookPolicy, WebhookTarget
from projects.webhook_policies import DESCRIPTION_MOST, EVENT_TYPES, MOST_TARGETS
from projects.webhooks import KINDS
from web import words
from web.webhook_words import EVENTS, FORMATS, TYPES

# What was meant for one server is not sent to another because somebody forgot about it.
_OTHER_SERVER = _("The address is another server's now. Type the header anew, or have none sent any more.")
_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


class AboutForm(forms.Form):
    """What a policy is called, and what it tells of."""

    name = forms.CharField(label=_("Name"), max_length=255, widget=forms.TextInput({"autocomplete": "off"}))
    description = forms.CharField(
        label=_("Description"),
        max_length=DESCRIPTION_MOST,
        required=False,
        strip=False,
        widget=forms.Textarea({"rows": 2}),
    )
    event_types = forms.MultipleChoiceField(
        label=_("Tells of"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one kind of event.")},
    )
    enabled = forms.BooleanField(label=_("Switched on"), required=False)

    def __init__(self, *args: Any, policy: WebhookPolicy | None, **more: Any) -> None:
        super().__init__(*args, **more)
        field = cast(forms.MultipleChoiceField, self.fields["event_types"])
        field.choices = [(each, EVENTS[each]) for each in _offered(policy)]

    def clean_description(self) -> str:
        """With plain newlines; browsers send CRLF."""
        return str(self.cleaned_data["description"]).replace("\r\n", "\n")


class EndpointForm(forms.Form):
    """Where a policy sends to. A stored Authorization header is not shown; left blank, it is kept."""

    type = forms.ChoiceField(label=_("Receiver"), choices=list(TYPES.items()))
    address = forms.CharField(label=_("Address"), widget=forms.URLInput({**_PLAIN, "placeholder": "https://"}))
    payload_format = forms.ChoiceField(label=_("Format"), choices=list(FORMATS.items()), required=False)
    auth_header = forms.CharField(
        label=_("Authorization header"),
        required=False,
        # Not the password with which somebody signs in.
        widget=forms.PasswordInput({**_PLAIN, "autocomplete": "new-password"}, render_value=True),
        help_text=_("Sent as it is, such as “Bearer …”. It is stored encrypted and not shown again."),
    )
    without_header = forms.BooleanField(label=_("Send no Authorization header any more"), required=False)
    skip_cert_verify = forms.BooleanField(
        label=_("Take any certificate"),
        required=False,
        help_text=_(
            "Dangerous: whoever is on the way can then read and change what is sent, the Authorization header "
            "included. Better: who runs the platform has it trust your own authority (WHARF_CA_BUNDLE)."
        ),
    )
    stored = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, targets: Mapping[int, WebhookTarget], **more: Any) -> None:
        super().__init__(*args, **more)
        number = str(self["stored"].value() or "")
        self.known = targets.get(int(number)) if number.isascii() and number.isdigit() else None
        """The endpoint as it is stored, of one that was there before."""
        if self.has_stored_header:
            self.fields["auth_header"].widget.attrs["placeholder"] = str(_("kept as it is"))

    @property
    def has_stored_header(self) -> bool:
        return self.known is not None and bool(self.known.auth_header)

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if "type" in said and not KINDS[said["type"]].formats:
            said["payload_format"] = ""
        if said.get("auth_header") and said["without_header"]:
            self.add_error(
                "auth_header", _("A header is typed here, and below it says that none is sent. Which is meant?")
            )
        if self.known and self.known.auth_header and not said.get("auth_header") and not said["without_header"]:
            if is_same_server(said.get("address", ""), self.known.address):
                said["auth_header"] = self.known.auth_header
            else:
                self.add_error("auth_header", _OTHER_SERVER)
        return said


class PolicyForm:
    """The whole form, empty, of a policy, or as it was sent."""

    def __init__(self, policy: WebhookPolicy | None = None, data: Any = None) -> None:
        self._targets = {target.pk: target for target in policy.targets.order_by("position")} if policy else {}
        self._policy = policy
        self.status = 400
        """Of the answer to a form that is refused."""
        self.about = AboutForm(data, initial=_said_by(policy), policy=policy)
        self.endpoints = self._formset(data, [_said_of(target) for target in self._targets.values()] or [{}])

    def terms(self) -> webhook_policies.Terms | None:
        """What it says; None when something is wrong, which is then beside it."""
        if not self.about.is_valid() or not self.endpoints.is_valid():
            return None
        columns = ("type", "address", "payload_format", "auth_header", "skip_cert_verify")
        targets = [{name: form.cleaned_data[name] for name in columns} for form in self.endpoints.forms]
        try:
            return webhook_policies.checked(**self.about.cleaned_data, targets=targets)
        except errors.Refusal as refusal:
            self.refuse(refusal)
            return None

    def refuse(self, refusal: errors.Refusal) -> None:
        """Say what was refused, beside the field that it is about."""
        form: forms.Form = self.about
        self.status = refusal.status
        # What has no words here says what is wrong in those of the API.
        is_plain = isinstance(refusal, errors.BadRequest)
        field, text = _REFUSALS.get(type(refusal), (None, refusal.message if is_plain else words.of(refusal)))
        if isinstance(refusal.detail, dict) and "target" in refusal.detail:
            form = self.endpoints.forms[refusal.detail["target"]]
        form.add_error(field, str(text))

    def is_wrong(self) -> bool:
        """Whether something was sent, and cannot be taken."""
        return bool(self.about.errors or any(self.endpoints.errors) or self.endpoints.non_form_errors())

    def has_room(self) -> bool:
        return len(self.endpoints.forms) < MOST_TARGETS

    def with_one_more(self) -> PolicyForm:
        """The same with another endpoint to fill in, and nothing judged yet."""
        return self._typed([*self._endpoints_typed(), {}][:MOST_TARGETS])

    def without(self, position: str) -> PolicyForm:
        """The same without an endpoint, and nothing judged yet."""
        typed = self._endpoints_typed()
        return self._typed([each for number, each in enumerate(typed) if str(number) != position] or [{}])

    def _typed(self, endpoints: list[dict[str, Any]]) -> PolicyForm:
        made = PolicyForm(self._policy)
        made.about = AboutForm(initial=_values(self.about), policy=self._policy)
        made.endpoints = made._formset(None, endpoints)
        return made

    def _endpoints_typed(self) -> list[dict[str, Any]]:
        return [_values(form) for form in self.endpoints.forms]

    def _formset(self, data: Any, initial: list[dict[str, Any]]) -> Any:
        kind = forms.formset_factory(
            EndpointForm, extra=0, min_num=1, max_num=MOST_TARGETS, absolute_max=MOST_TARGETS, validate_min=True
        )
        # One that was added and left empty is a mistake, and not as if it were not there.
        more = {"targets": self._targets, "empty_permitted": False}
        return kind(data, initial=initial, prefix="endpoints", form_kwargs=more)


def _offered(policy: WebhookPolicy | None) -> Iterator[str]:
    """What is told today, and what the policy wants to hear of besides."""
    told = events.by_topic()
    return (each for each in EVENT_TYPES if each in told or (policy and each in policy.event_types))


def _said_by(policy: WebhookPolicy | None) -> dict[str, Any]:
    if policy is None:
        return {"event_types": ["PUSH_ARTIFACT"], "enabled": True}
    return {name: getattr(policy, name) for name in ("name", "description", "event_types", "enabled")}


def _said_of(target: WebhookTarget) -> dict[str, Any]:
    """Without its Authorization header."""
    shown = {name: getattr(target, name) for name in ("type", "address", "payload_format", "skip_cert_verify")}
    return {**shown, "stored": target.pk}


def _values(form: forms.Form) -> dict[str, Any]:
    """What was typed, whatever it is worth."""
    return {name: form[name].value() for name in form.fields}


def is_same_server(one: str, other: str) -> bool:
    """Whether two addresses are of one server; what is no address is told elsewhere."""
    try:
        first, second = http.parsed(one), http.parsed(other)
    except http.AddressInvalid:
        return True
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


# The field that a refusal is about, and what is said there.
_REFUSALS: dict[type[errors.Refusal], tuple[str | None, words.Words]] = {
    errors.Conflict: ("name", _("The project has a webhook of this name already. Choose another.")),
    errors.Precondition: (
        None,
        _("The project has as many webhooks and endpoints as fit. Remove one that is not needed."),
    ),
    http.AddressInvalid: (
        "address",
        _("An address looks like https://host:port/path, without a user's name and without blanks."),
    ),
    http.ForbiddenAddress: (
        "address",
        _(
            "Webhooks may not go to this host: it is in a private network, or part of the platform. Who runs the "
            "platform can allow networks (WHARF_WEBHOOK_ALLOWED_NETWORKS)."
        ),
    ),
    webhook_policies.HeaderInvalid: (
        "auth_header",
        _("The header is one line of up to 4096 ASCII characters: letters, digits and signs, no blanks at its ends."),
    ),
    webhook_policies.EndpointTwice: (
        "address",
        _("This endpoint is there twice; it would be told everything twice. Remove one."),
    ),
}
