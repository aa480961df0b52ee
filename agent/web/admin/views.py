"""What the templates show, in words: times, money, states, where something came from."""

from __future__ import annotations

import json
import time
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.domain.states import FINAL, Status
from agent.execution.together import as_shown, message_of, pinned
from agent.web.admin.picture import picture_of
from agent.web.waiting import CHOICES, all_that_waits, waits_of
from agent.web.words import fields_of

if TYPE_CHECKING:
    from agent.domain.provenance import Provenance
    from agent.domain.run import Approval, Question, Run, StepRecord
    from agent.store.protocol import Store
    from agent.web.rooms import Rooms
    from agent.web.waiting import Waits

MARKS = {
    Status.PENDING: "▫",
    Status.READY: "▫",
    Status.RUNNING: "▶",
    Status.WAITING_APPROVAL: "!",
    Status.COMPLETED: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "–",
}
WORDS = {
    Status.PENDING: "waiting",
    Status.READY: "ready",
    Status.RUNNING: "running",
    Status.WAITING_APPROVAL: "waits for you",
    Status.COMPLETED: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
TEXT_SHOWN = 4_000
A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as a page shows it."""

    record: StepRecord
    label: str
    input: str
    output: str
    taken: float | None
    origins: str


def moment(at: float | None) -> str:
    """Return a time (seconds since 1970) for the reader of a log: UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "–"


def ago(at: float | None, now: float | None = None) -> str:
    """Return how long ago, or in how long, a time is."""
    if not at:
        return "–"
    seconds = (time.time() if now is None else now) - at
    if abs(seconds) < A_MINUTE:  # pages are sent anew when something has changed, not each second
        return "in a moment" if seconds < 0 else "just now"
    said = _long(abs(seconds))
    return f"in {said}" if seconds < 0 else f"{said} ago"


def taken(seconds: float | None) -> str:
    """Return how long something took."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else _long(seconds)


def _long(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def money(amount: float | None) -> str:
    """Return US dollars; small amounts with four digits."""
    return "–" if amount is None else f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def day(at: float) -> str:
    """Return the day of a time, by this machine's clock."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d")


def stamp(at: float) -> str:
    """Return a time as ISO 8601, for the page's script, which shows it in the reader's own zone."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def number(value: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,.0f}"


def size(many: int) -> str:
    """Return how large a file is."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if many >= least:
            return f"{many / least:.1f} {unit}"
    return f"{many} bytes"


def plain(text: str) -> str:
    """Return a text in which what nobody sees, or what turns the order of letters round, is visible."""
    return text if text.isascii() else "".join(f"[U+{ord(c):04X}]" if _hidden(c) else c for c in text)


def _hidden(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cf", "Cc"} and letter not in "\n\t\r\u200d"


def as_json(value: Any) -> str:
    """Return a value as readable JSON, shortened where it is long."""
    text = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str))
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}\n… {len(text) - TEXT_SHOWN:,} more characters"


def mark(status: Status | str) -> str:
    """Return the sign of a state."""
    return MARKS[Status(status)]


def word(status: Status | str) -> str:
    """Return a state in words."""
    return WORDS[Status(status)]


def origins(label: Provenance) -> str:
    """Say where a value came from; what is not trusted is marked."""
    names = [source.name if source.trusted else f"{source.name} (not trusted)" for source in sorted(label.sources)]
    return ", ".join(names)


def step_view(record: StepRecord) -> StepView:
    """Return a step as a page shows it."""
    step = record.step
    given: dict[str, Any] = dict(step.args)
    given |= {"instruction": step.instruction} if step.instruction else {}
    given |= {"question": step.question} if step.question else {}
    made = record.text or record.output
    done = record.completed_at - record.started_at if record.completed_at and record.started_at else None
    return StepView(
        record,
        step.label,
        as_json(given) if given else "",
        as_json(made) if made else "",
        done,
        origins(record.provenance),
    )


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits for a yes: the arguments that may be changed, and where all of it comes from."""

    approval: Approval
    fields: list[tuple[str, str, tuple[str, ...]]]
    origins: str

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What can be decided, and what the buttons say."""
        return [(one, CHOICES.get(one, one)) for one in self.approval.choices]


@dataclass(frozen=True, slots=True)
class Group:
    """What is asked together: calls of one message (`pin` stands for exactly these), or a question."""

    run: Run
    asked_at: float
    calls: tuple[Call, ...] = ()
    pin: str = ""
    question: Question | None = None


async def groups_of(rooms: Rooms, waits: list[Waits]) -> list[Group]:
    """Return what waits for a person, calls of one message together."""
    together: dict[str, list[Waits]] = {}
    for one in waits:
        name = message_of(one.approval.id) if one.approval else f"?{one.question.id if one.question else ''}"
        together.setdefault(f"{one.run.id} {name}", []).append(one)
    return [await _group(rooms, found) for found in together.values()]


async def _group(rooms: Rooms, waits: list[Waits]) -> Group:
    first = waits[0]
    asked = as_shown(one.approval for one in waits if one.approval is not None)
    if not asked:
        return Group(first.run, first.asked_at, question=first.question)
    calls = tuple([Call(one, await fields_of(rooms, one), origins(one.origins)) for one in asked])
    pin = pinned(asked) if len(asked) > 1 else ""
    return Group(first.run, first.asked_at, calls, pin)


async def all_groups(rooms: Rooms) -> list[Group]:
    """Return all that waits for a person, the oldest first."""
    return await groups_of(rooms, await all_that_waits(rooms.store))


async def run_view(rooms: Rooms, run: Run) -> dict[str, Any]:
    """Return what the page of a run shows."""
    store = rooms.store
    records = await store.get_steps(run.id)
    return {
        "run": run,
        "steps": [step_view(record) for record in records],
        "picture": picture_of(records),
        "spent": await store.spent(run_id=run.id),
        "done": sum(record.status is Status.COMPLETED for record in records),
        "files": await store.artifacts_of(run.id),
        "over": run.status in FINAL,
        "groups": await groups_of(rooms, await waits_of(store, run)),
    }


async def how_many_wait(store: Store) -> int:
    """Return how many steps wait for a person, for the menu."""
    backlog = await store.backlog()
    return backlog.approvals + backlog.questions
