"""/projects/{p}/access/explain: which rule decides what somebody may do here. Harbor has nothing like it."""

from __future__ import annotations

from typing import Any, Required

from rest_framework.request import Request
from rest_framework.response import Response

from core.api.operations import operation
from projects.access_explained import Question, explain
from projects.api import answers
from projects.api.parents import InProject


class Access(InProject):
    """For those who manage the project's members: the answer tells about other people."""

    resource = "member"
    verbs = {"explain": "update"}

    @operation(
        "Which rule decides what somebody may do here",
        gives=answers.Explanation,
        query={"subject": Required[str], "action": Required[str], "reference": str},
    )
    def explain(self, request: Request, **_: Any) -> Response:
        subject, action = self.required("subject"), self.required("action")
        reference = request.query_params.get("reference", "")
        found = explain(Question.parse(self.get_project(), subject, action, reference))
        return Response(
            {
                "subject": subject,
                "action": action,
                "reference": reference,
                "allowed": found.is_allowed,
                "rule": found.rule,
                "explanation": found.sentence,
            }
        )
