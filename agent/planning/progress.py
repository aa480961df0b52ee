"""What a replan is told of the steps so far: the newest results, previewed and bounded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent.domain.run import StepRecord
from agent.domain.states import FINAL

MAX_RESULTS = 25
PREVIEW = 400
_SHOWN_KEYS = 12
DENIED = "denied it."  # as `execution.people.refusal` says it
DENIED_CHARS = 300


def progress_context(records: Sequence[StepRecord], *, results: int = MAX_RESULTS, preview: int = PREVIEW) -> str:
    """Return the last results as JSON lines, each `{"id", "status", "did", "text", "output", "files", "error"}`.

    A call that a person has denied also has its arguments, as `denied`: a planner leaves it out of the next plan. At
    most `results` finished steps, newest last, with texts and outputs of at most `preview` characters.
    """
    finished = [record for record in records if record.status in FINAL][-results:] if results else []
    return "\n".join(json.dumps(_summary(record, preview), ensure_ascii=False, default=str) for record in finished)


def was_denied(record: StepRecord) -> bool:
    """Say whether a person has denied a step's call."""
    return record.response_status == "blocked" and bool(record.step.tool) and DENIED in record.error


def _summary(record: StepRecord, preview: int) -> dict[str, Any]:
    step = record.step
    entry = {
        "id": step.id,
        "status": str(record.response_status or record.status),
        "did": _shortened(step.tool or step.question or step.instruction, 80),
        "text": _shortened(record.text, preview),
        "output": _shape(record.output, preview) if record.output not in (None, record.text) else None,
        "files": [file.get("path", "") for file in record.files][:_SHOWN_KEYS],
        "error": _shortened(record.error, preview),
    }
    if was_denied(record):
        entry["denied"] = _shortened(json.dumps(step.args, ensure_ascii=False, default=str), DENIED_CHARS)
    return {key: value for key, value in entry.items() if value}


def _shape(value: Any, preview: int) -> Any:
    """Return the value when it is short, else what references need: its keys, its length and its first entry."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= preview:
        return value
    if isinstance(value, dict):
        keys = list(value)[:_SHOWN_KEYS]
        return {str(key): _shape(value[key], max(preview // len(keys), 20)) for key in keys}
    if isinstance(value, list):
        return [f"{len(value)} entries, the first:", _shape(value[0], preview // 2)]
    return _shortened(text, preview)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
