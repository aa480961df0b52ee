"""The list of all settings, generated from their definitions: what `dirigent settings` prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from agent.config import AppConfig
from agent.config.sources import env_name, is_secret, settings_of

NAMES = {int: "int", float: "float", bool: "bool", Path: "path"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `kind` is int, float, bool, text, path, secret, list or table; `choices` are all allowed values."""

    key: str
    kind: str
    default: str
    env: str
    text: str
    choices: tuple[str, ...] = ()


def settings_reference() -> list[Setting]:
    """Return every setting in the order of its definition."""
    found = []
    for path, info in settings_of(AppConfig):
        default = info.get_default(call_default_factory=True, validated_data={})
        found.append(
            Setting(
                key=".".join(path),
                kind=_kind(info.annotation),
                default="" if default is None else json.dumps(default, default=str),
                env=env_name(path),
                text=(info.description or "").strip(),
                choices=_choices(info.annotation),
            ),
        )
    return found


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is dict:
        return "table"
    if is_secret(annotation):
        return "secret"
    if get_origin(annotation) is tuple:
        return "list"
    return NAMES.get(annotation, "text")


def _choices(annotation: Any) -> tuple[str, ...]:
    return tuple(get_args(annotation)) if get_origin(annotation) is Literal else ()
