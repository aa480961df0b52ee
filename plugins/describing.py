"""What a plugin is, as JSON values: made inside a box, where the plugin is imported, and read outside by `described`.

    {"format": 1, "name", "summary", "version", "settings": {name: explanation},
     "tools": [{"name", "function", "description", "schema", "context", …the fields of ToolSpec}],
     "services": [{"name", "description", "secrets", "settings"}], "ui": [{"type": "menu" | "form", …}]}

or `{"error": "why it is broken"}`. A schema has the marks of `plugins.api.schemas`. A cost that is a function is told
as "function".
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, fields
from typing import Any

from plugins.api import ServiceSpec, ToolSpec
from plugins.api.schemas import MARKS
from plugins.loader import LoadedPlugin, imported, place_at

FORMAT = 1
FUNCTION = "function"  # a cost that is one
TOLD_OTHERWISE = {"function", "function_name", "schema", "takes_context", "plugin", "reaches", "cost"}
PLAIN_FIELDS = tuple(one.name for one in fields(ToolSpec) if one.name not in TOLD_OTHERWISE)


def describe(source: str, name: str) -> dict[str, Any]:
    """Import a plugin here and return its description. Whatever it does at that, it does to this process alone."""
    found = imported(place_at(source, name))
    if found.error is not None:
        return {"format": FORMAT, "error": found.error}
    told: dict[str, Any] = json.loads(json.dumps(_whole(found), allow_nan=False))
    return told


def _whole(plugin: LoadedPlugin) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": plugin.name,
        "summary": plugin.summary,
        "version": plugin.version,
        "settings": dict(plugin.settings),
        "tools": [_tool(spec) for spec in plugin.tools],
        "services": [_service(spec) for spec in plugin.services],
        "ui": [{"type": type(part).__name__.lower(), **asdict(part)} for part in plugin.ui],
    }


def _tool(spec: ToolSpec) -> dict[str, Any]:
    return {
        **{name: getattr(spec, name) for name in PLAIN_FIELDS},
        "cost": FUNCTION if callable(spec.cost) else spec.cost,
        "function": spec.function_name,
        "context": spec.wants_context,
        "schema": _marked(spec),
    }


def _marked(spec: ToolSpec) -> dict[str, Any]:
    """Return the schema of a tool's parameters with what their annotations say beside types."""
    schema = copy.deepcopy(spec.parameters)
    marks: dict[str, dict[str, Any]] = {}
    for name, suffixes in spec.file_parameters.items():
        marks.setdefault(name, {})["file"] = list(suffixes)
    for name, expression in spec.text_patterns.items():
        marks.setdefault(name, {})["pattern"] = expression
    for name, service in spec.service_parameters.items():
        marks.setdefault(name, {})["service"] = service
    for name, mark in marks.items():
        schema["properties"][name] = {**schema["properties"][name], MARKS: mark}
    return schema


def _service(spec: ServiceSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.description,
        "secrets": list(spec.secrets),
        "settings": list(spec.settings),
    }
