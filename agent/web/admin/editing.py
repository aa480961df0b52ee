"""Pipelines changed on a page: checked as a whole before anything is written, and looked at without being run."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import DirigentError, PlanError
from agent.llm.prices import price

if TYPE_CHECKING:
    from agent.pipelines import Ready
    from agent.web.admin.house import House

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MOST_CHARS = 200_000
SAMPLE = """\
name: {name}
inputs:
  who: {{type: text, default: world}}
steps:
  - {{id: hello, use: value, args: {{value: "hello {{{{ inputs.who }}}}"}}}}
"""


def looked_at(house: House, name: str, text: str) -> tuple[list[str], Any, Ready | None]:
    """Return (mistakes, preview, what can be run) of a pipeline's text; the last two are None when it is wrong."""
    from agent.planning.pipeline_preview import look_at

    config = house.config
    try:
        ready = _checked(house, name, text)
        preview = look_at(
            ready.steps,
            house.catalogue.find,
            lambda read, wrote: price(config.model, read, wrote, config.llm.prices),
            config.plugins,
        )
    except DirigentError as error:
        return [line for line in str(error).splitlines() if line.strip()], None, None
    return [], preview, ready


def _checked(house: House, name: str, text: str) -> Ready:
    if not NAME.fullmatch(name):
        raise PlanError([f"{name!r} is no name for a pipeline"], hint="Small letters, digits, `-` and `_`.")
    if len(text) > MOST_CHARS:
        raise PlanError([f"{len(text):,} characters are too many; {MOST_CHARS:,} are allowed"])
    with tempfile.TemporaryDirectory(prefix="dirigent-") as folder:
        file = Path(folder, f"{name}.yaml")
        file.write_text(text, encoding="utf-8")
        return house.rooms.pipelines.load(file)


def save(house: House, name: str, text: str) -> list[str]:
    """Write a pipeline into the home if it is right, and return its mistakes; a wrong one changes nothing."""
    problems, _, _ = looked_at(house, name, text)
    if problems:
        return problems
    folder = house.rooms.pipelines.folder
    folder.mkdir(parents=True, exist_ok=True)
    present = house.rooms.pipelines.places().get(name)
    target = present.file if present and not present.plugin else folder / f"{name}.yaml"
    handle, made = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(made, target)  # noqa: PTH105 - it is atomic, and both are texts
    return []
