"""Tables of dirigent.toml that commands write and take away; everything else in the file stays as it is."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER = re.compile(r"^\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}\s*(#.*)?$")


def with_table(text: str, name: str, values: Mapping[str, Any]) -> str:
    """Return a TOML text with a table at its end."""
    lines = [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return f"{text.rstrip()}\n\n" + "\n".join(lines) + "\n" if text.strip() else "\n".join(lines) + "\n"


def without_table(text: str, name: str) -> str:
    """Return a TOML text without a table and what lies below it."""
    kept, inside = [], False
    for line in text.splitlines():
        header = HEADER.match(line)
        if header:
            inside = header[1] == name or header[1].startswith(f"{name}.")
        if not inside:
            kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def change(file: Path, name: str, values: Mapping[str, Any] | None) -> None:
    """Write a table into the settings' file, or take it away (None).

    Raises ConfigError when the file is written in a way that this can't keep; nothing is changed then.
    """
    from agent.cli.init import write_private

    before = file.read_text("utf-8") if file.exists() else ""
    after = without_table(before, name) if values is None else with_table(before, name, values)
    group, _, key = name.partition(".")
    try:
        found = tomllib.loads(after).get(group, {}).get(key)
    except tomllib.TOMLDecodeError:
        found = ...
    if found != (None if values is None else dict(values)):
        raise ConfigError(f"{file} holds [{name}] in a form that is not changed here.", hint="Change it in an editor.")
    write_private(file, after)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(part)}" for key, part in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
