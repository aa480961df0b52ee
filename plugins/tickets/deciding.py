"""What is to be done with a ticket, from what its text was classified as, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugins.tickets.records import SORTED

RANK = re.compile(r"^\s*(\d+)\b")
PLAIN = re.compile(r"[^\w '*/-]+")
RULE_CHARS = 40


@dataclass(frozen=True, slots=True)
class Found:
    """What a text was classified as: `label` is "" when nothing was sure enough. `score` is from 0 to 1."""

    label: str
    score: float
    method: str
    rule: str

    @property
    def why(self) -> str:
        """Say how it was found, in words that no ticket chooses."""
        rule = " ".join(PLAIN.sub(" ", self.rule).split())[:RULE_CHARS]
        return f"score {self.score:.2f}, by {self.method}" + (f", rule '{rule}'" if rule else "")


def found_in(said: Any, threshold: float, names: Mapping[str, str] | None = None) -> Found:
    """Read the result of `classify`, or a model's answer with `label` (or `choice`) and `score` (or `confidence`).

    `names` says what labels are called in the ticket system; a label without a name there changes nothing.
    """
    given: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    label = str(given.get("label") or given.get("choice") or "")
    label = label if names is None else names.get(label, "")
    score = _number(given.get("score", given.get("confidence", 0)))
    sure = label if score >= threshold else ""
    return Found(sure, score, str(given.get("method") or "llm"), str(given.get("rule") or ""))


def decision(ticket: Mapping[str, Any], queue: Found, priority: Found, *, lower: bool) -> dict[str, Any]:
    """Return what to change: `queue` and `priority` are "" when they stay; `note` says why, "" when nothing changes."""
    before = bool(ticket.get("sorted"))  # what people did to it since then stays as they did it
    now_queue, now_priority = str(ticket.get("queue") or ""), str(ticket.get("priority") or "")
    to_queue = queue.label if not before and queue.label and queue.label.casefold() != now_queue.casefold() else ""
    to_priority = priority.label if not before and _counts(now_priority, priority.label, lower=lower) else ""
    lines = [SORTED]
    lines += [f"Queue: {to_queue} ({queue.why})"] if to_queue else []
    lines += [f"Priority: {to_priority} ({priority.why})"] if to_priority else []
    change = bool(to_queue or to_priority)
    return {
        "id": str(ticket.get("id", "")),
        "title": str(ticket.get("title", ""))[:200],
        "from_queue": now_queue,
        "from_priority": now_priority,
        "queue": to_queue,
        "priority": to_priority,
        "change": change,
        "note": "\n".join(lines) if change else "",
        "why": {"queue": queue.why, "priority": priority.why},
    }


def _counts(now: str, then: str, *, lower: bool) -> bool:
    """Say whether a priority is to be set: names with a number before them are ranks, and a rank is only raised."""
    if not then or then.casefold() == now.casefold():
        return False
    before, after = RANK.match(now), RANK.match(then)
    return lower or before is None or after is None or int(after[1]) > int(before[1])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def report(decisions: list[Any], done: list[Any], *, dry: bool) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return a row for each ticket, and how many were changed, left, or could not be changed.

    `done` holds what came of each change at the same place, null where nothing did.
    """
    rows, counts = [], {"tickets": len(decisions), "changed": 0, "left": 0, "failed": 0}
    for place, made in enumerate(decisions):
        if not isinstance(made, dict):
            counts["failed"] += 1
            continue
        went_well = place < len(done) and done[place] is not None
        kind = "left" if not made["change"] or dry else "changed" if went_well else "failed"
        counts[kind] += 1
        to = ", ".join(part for part in (made["queue"], made["priority"]) if part)
        said = {"left": f"would become {to}" if to else "stays", "changed": to, "failed": f"could not become {to}"}
        rows.append({"id": made["id"], "title": made["title"], "from": made["from_queue"], "now": said[kind]})
    return rows, counts
