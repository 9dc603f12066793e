"""/projects/{project}/immutabletagrules, as in Harbor."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Flag, Form, Text, Whole
from core.api.operations import operation
from projects import immutable_rules
from projects.api import answers
from projects.api.parents import InProject
from projects.immutable_rules import Selectors
from projects.models import ImmutableRule

_INT32_MOST = 2**31 - 1


class SelectorForm(Form):
    # What is missing is Go's empty value, which none of these can be.
    kind = Text(default="")
    decoration = Text(default="")
    pattern = Text(default="")


class RuleForm(Form):
    id = Whole(default=0)
    priority = Whole(default=0, min_value=0, max_value=_INT32_MOST)
    disabled = Flag(default=False)
    action = Text(default="")
    template = Text(default="")
    tag_selectors = serializers.ListField(child=SelectorForm(), default=list)
    scope_selectors = serializers.DictField(child=serializers.ListField(child=SelectorForm()), default=dict)


def as_json(rule: ImmutableRule) -> dict[str, Any]:
    """Harbor's ImmutableRule."""
    return json.without_empty(
        {
            "id": rule.pk,
            "priority": rule.priority,
            "disabled": rule.disabled,
            "action": immutable_rules.ACTION,
            "template": immutable_rules.TEMPLATE,
            "tag_selectors": rule.tag_selectors,
            "scope_selectors": rule.scope_selectors,
        }
    )


class ImmutableRules(InProject):
    """A project's rules, the oldest first."""

    resource = "immutable-tag"
    filter_fields = {"id": "id", "disabled": "disabled", "priority": "priority"}

    @operation("List a project's immutable tag rules", lists=answers.ImmutableRule)
    def list(self, request: Request, **_: Any) -> Response:
        return self.listing(ImmutableRule.objects.filter(project=self.get_project()), as_json)

    @operation(
        "Create an immutable tag rule; it is stored and shown, nothing enforces it yet",
        body=RuleForm,
        status=201,
        refuses=(409,),
    )
    def create(self, request: Request, **_: Any) -> Response:
        given = self._given()
        rule = immutable_rules.create(
            project=self.get_project(),
            selectors=_selectors(given),
            disabled=given["disabled"],
            priority=given["priority"],
            actor=self.actor,
        )
        return self.created(rule.pk)

    @operation("Change an immutable tag rule, or switch it on or off", body=RuleForm, refuses=(409,))
    def update(self, request: Request, rule_id: int, **_: Any) -> Response:
        """Who only switches a rule on or off may leave its selectors out, as in Harbor."""
        given = self._given()
        if given["id"] not in (0, rule_id):
            raise errors.BadRequest(f"the body is about rule {given['id']}, the path about rule {rule_id}")
        immutable_rules.update(
            project=self.get_project(),
            rule_id=rule_id,
            selectors=_selectors(given) if given["tag_selectors"] or given["scope_selectors"] else None,
            disabled=given["disabled"],
            priority=given["priority"],
            actor=self.actor,
        )
        return self.done()

    @operation("Delete an immutable tag rule")
    def destroy(self, request: Request, rule_id: int, **_: Any) -> Response:
        immutable_rules.delete(project=self.get_project(), rule_id=rule_id, actor=self.actor)
        return self.done()

    def _given(self) -> dict[str, Any]:
        given = self.body(RuleForm)
        immutable_rules.check_kind(action=given["action"], template=given["template"])
        return given


def _selectors(given: dict[str, Any]) -> Selectors:
    return immutable_rules.checked(tags=given["tag_selectors"], scope=given["scope_selectors"])
