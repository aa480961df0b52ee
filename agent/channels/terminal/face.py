"""What the terminal shows, and the words that all faces share."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, Protocol

from agent.channels.visible import visible
from agent.domain.states import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Escape sequences could repaint what is already on the screen, bidirectional and zero-width characters make an argument
# read as another one: a terminal shows none of them.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)

SYMBOLS = {
    Status.PENDING: "·",
    Status.READY: "·",
    Status.RUNNING: "›",
    Status.WAITING_APPROVAL: "?",
    Status.COMPLETED: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "–",
}


class Face(Protocol):
    """How things look. Payloads are those of `MessageKind`; every text may come from outside and is not trusted."""

    def plan(self, view: dict[str, Any]) -> None:
        """Show the plan as it stands now."""

    def question(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        """Show a question and (key, label) of what can be answered with one key."""

    def approval(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        """Show a request for consent with its exact arguments, and its (key, label) pairs."""

    def answer(self, text: str, *, final: bool) -> None:
        """Show the answer as far as it has come."""

    def files(self, paths: Sequence[str], caption: str) -> None:
        """Show where files lie; the paths are absolute."""

    def notice(self, text: str) -> None:
        """Show a line that is not part of the answer."""

    def error(self, payload: dict[str, Any]) -> None:
        """Show what failed, the way on, and the reference id."""

    def offers(self, keys: Sequence[tuple[str, str]]) -> None:
        """Show what can be done with the message above."""

    def busy(self, *, on: bool) -> None:
        """Show or stop showing that work is going on."""

    def prompting(self) -> contextlib.AbstractContextManager[None]:
        """Keep the screen still while the person types."""

    def below(self) -> str:
        """Return what moves, with its colours, for under the line that a person types; "" when nothing does."""

    def ended(self, status: str, run: str) -> None:
        """Take note that a request came to rest: completed, failed, cancelled or waiting."""

    def close(self) -> None:
        """Leave the screen as it should stay."""


@contextlib.contextmanager
def still() -> Iterator[None]:
    """Do nothing: for faces that do not move."""
    yield


def clean(text: Any) -> str:
    """Return a text without what a terminal would act on."""
    return UNSEEN.sub("", str(text).replace("\r\n", "\n"))


def symbol(status: str) -> str:
    """Return the mark of a step's state."""
    return SYMBOLS.get(Status(status), "·") if status in Status.__members__ else "·"


def clock(seconds: float) -> str:
    """Return minutes and seconds, with hours when there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def figures(view: dict[str, Any], seconds: float) -> str:
    """Return `2/4 · 0:41 · $0.01`; money only when some was spent."""
    parts = [f"{view.get('done', 0)}/{view.get('total', 0)}", clock(seconds)]
    if view.get("money"):
        parts.append(f"${view['money']:.2f}")
    return " · ".join(parts)


def step_text(step: dict[str, Any]) -> str:
    """Return a step's label and, after a dash, its note."""
    note = f" — {clean(step['note'])}" if step.get("note") else ""
    return clean(step.get("label", step.get("id", ""))) + note


def details_lines(payload: dict[str, Any]) -> list[str]:
    """Return everything that a person must read before consenting, whatever shape the details have."""
    if payload.get("calls"):
        return [line for call in _to_decide(payload) for line in _call(call)]
    details = payload.get("details") or ""
    named = details.items() if isinstance(details, dict) else [("", details)]
    lines = [line for name, value in named for line in _argument(on_a_line(name), value)]
    because = payload.get("because")
    return [*lines, *([f"Because: {on_a_line(because)}"] if because else [])]


def title_of(payload: dict[str, Any]) -> str:
    """Return what is asked for, in a line."""
    if not payload.get("calls"):
        return on_a_line(payload.get("title", ""))
    if payload.get("each"):
        return f"Call {payload.get('now')} of {len(payload['calls'])}"
    return f"{payload.get('open')} calls wait for your word"


def on_a_line(text: Any) -> str:
    """Return a text that others may have a hand in as one line."""
    return " ".join(clean(text).split())


def _to_decide(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the calls that a person is to decide about now."""
    calls: list[dict[str, Any]] = payload["calls"]
    if payload.get("each"):
        return [calls[int(payload["now"]) - 1]]
    return [call for call in calls if call.get("decided") is None]


def _call(call: dict[str, Any]) -> list[str]:
    """Return one of several calls; its lines are indented under its number and name."""
    which = f"{call['number']}. {on_a_line(call['title'])}"
    return [which, *(f"    {line}" for line in details_lines(call))]


def _argument(name: str, value: Any) -> list[str]:
    """Return an argument exactly; its further lines are indented, so that a value cannot pose as another argument."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    first, *rest = clean(visible(text.replace("\r\n", "\n"))).split("\n")
    return [f"{name}: {first}" if name else f"  {first}", *(f"    {line}" for line in rest)]
