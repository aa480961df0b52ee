"""What to say when nothing was understood without a model: concrete requests that would work here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from agent.planning.request import PlanRequest
from agent.planning.slots import Slot, slots_of
from plugins.api import ToolSpec

SHOWN = 5
_SLOT = re.compile(r"\{(\w+)\}")
_SAMPLES = {
    "y": "revenue",
    "x": "month",
    "by": "month",
    "which": "best",
    "how": "average",
    "series": "region",
    "query": "train strikes today",
    "url": "https://example.org",
    "text": "the office opens at 9",
    "city": "Berlin",
    "place": "Berlin",
    "sides": "20",
    "times": "2",
    "top": "5",
    "time_zone": "Tokyo",
}


def examples_for(request: PlanRequest) -> list[str]:
    """Return up to five requests that the tools can carry out, of different tools, about the files that are there."""
    harmless = [spec for spec in request.tools if spec.produces or spec.host or spec.command]
    first_choice = sorted(harmless, key=lambda spec: not (spec.file_parameters and request.files))
    seen: set[str] = set()
    found: list[str] = []
    for spec in first_choice:
        example = _example(spec, request.files)
        about = {spec.plugin, example.partition(" ")[0]}
        if example and not about & seen:
            seen |= about
            found.append(example)
    return found[:SHOWN]


def _example(spec: ToolSpec, files: Sequence[str]) -> str:
    slots = slots_of(spec)
    for example in sorted(spec.examples, key=lambda text: -len(_SLOT.findall(text))):
        values = {name: _sample(slots[name], files) for name in _SLOT.findall(example) if name in slots}
        if all(values.values()) and example.isascii():
            return _SLOT.sub(_look_up(values), example)
    return ""


def _look_up(values: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: values[match[1]]


def _sample(slot: Slot, files: Sequence[str]) -> str:
    if slot.kind == "file":
        suffixes = slot.suffixes or (".csv", ".txt", ".pdf")
        return next((name for name in files if PurePosixPath(name).suffix.lower() in suffixes), f"sales{suffixes[0]}")
    if slot.kind == "choice":
        return slot.choices[-1]
    return _SAMPLES.get(slot.name, "")


def help_without_model(text: str, unclear: Sequence[str], examples: Sequence[str]) -> str:
    """Return an answer that says what was not understood, what works, and how to add a model."""
    asked = " ".join((unclear[0] if unclear else text).split())[:120]
    lines = [f"I have no model to think with, so I only understand simple requests, and not “{asked}”."]
    if examples:
        lines += ["", "These work:", *(f"• {example}" for example in examples)]
    lines += ["", "To add a model, run `dirigent init`, or set OPENAI_BASE_URL (or OPENAI_API_KEY) and start again."]
    return "\n".join(lines)
