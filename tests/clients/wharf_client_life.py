"""A few steps of the client that was generated from the platform's own document; run by a Python that has that client.

On stdin a JSON object as for the others. Prints each step that went as it should.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import wharf_client as wharf


def live(told: dict[str, Any]) -> None:
    where = wharf.Configuration(host=f"{told['url']}/api/v2.0", username=told["admin"], password=told["admin_password"])
    client = wharf.ApiClient(where)
    assert wharf.UsersApi(client).current_user_retrieve().username == told["admin"]
    print("users")
    projects = wharf.ProjectsApi(client)
    _, status, headers = projects.projects_create_with_http_info(wharf.ProjectForm(project_name="generated"))
    assert (status, headers["Location"].rpartition("/")[0]) == (201, "/api/v2.0/projects")
    assert [each.name for each in projects.projects_list(q="name=generated")] == ["generated"]
    projects.one_project_update("generated", project_change=wharf.ProjectChange(metadata={"public": "true"}))
    assert projects.one_project_retrieve("generated").metadata == {"public": "true"}
    print("projects")
    labels = wharf.LabelsApi(client)
    labels.labels_create(new_label=wharf.NewLabel(name="stable", scope="g"))
    (label,) = labels.labels_list("g", name="stable")
    labels.labels_destroy(label.id)
    print("labels")
    projects.one_project_destroy("generated")
    assert projects.projects_list(q="name=generated") == []
    print("deletion")


if __name__ == "__main__":
    live(json.load(sys.stdin))
