"""What an answer leads to, for the OpenAPI document: whoever reads it finds the run that they have begun."""

from __future__ import annotations

import re
from typing import Any

BODY = "$response.body#"
SOURCES = (
    # what is called, its status, where the answer has the name, and the addresses that take it
    ("post", "/runs", "202", "/ref", "/runs/{ref}"),
    ("post", "/runs/{ref}/retry", "202", "/ref", "/runs/{ref}"),
    ("post", "/pipelines/{name}/run", "202", "/ref", "/runs/{ref}"),
    ("get", "/runs", "200", "/0/ref", "/runs/{ref}"),
    ("post", "/triggers", "201", "/id", "/triggers/{trigger_id}"),
    ("get", "/triggers", "200", "/0/id", "/triggers/{trigger_id}"),
    ("post", "/events", "202", "/id", "/events/{event_id}"),
    ("get", "/events", "200", "/0/id", "/events/{event_id}"),
    ("post", "/chains", "201", "/id", "/chains/{name}"),
    ("get", "/chains", "200", "/0/id", "/chains/{name}"),
    ("get", "/projects", "200", "/0/name", "/projects/{name}"),
    ("get", "/pipelines", "200", "/0/name", "/pipelines/{name}"),
    ("put", "/pipelines/{name}", "201", "/name", "/pipelines/{name}"),
    ("get", "/approvals", "200", "/0/id", "/approvals/{approval_id}"),
    ("get", "/questions", "200", "/0/id", "/questions/{question_id}"),
    ("get", "/sessions", "200", "/0/id", "/sessions/{session_id}"),
    ("get", "/sessions/{session_id}/files", "200", "/0/path", "/sessions/{session_id}/files/{path}"),
)
PARAMETER = re.compile(r"{([^}]+)}")


def add_links(document: dict[str, Any], prefix: str) -> None:
    """Add to each answer of `SOURCES` a link to every operation that takes its name; paths begin with `prefix`."""
    for method, path, status, pointer, leads_to in SOURCES:
        answer = document["paths"][prefix + path][method]["responses"][status]
        *known, name = PARAMETER.findall(leads_to)
        given = {one: f"$request.path.{one}" for one in known} | {name: BODY + pointer}
        answer["links"] = {
            operation["operationId"]: {"operationId": operation["operationId"], "parameters": given}
            for address, operations in document["paths"].items()
            for operation in operations.values()
            if address.startswith(prefix + leads_to) and set(PARAMETER.findall(address)) == set(given)
        }
