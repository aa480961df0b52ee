"""For pipes, logs and dumb terminals: the answer and its files on standard output, all else on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agent.channels.terminal.face import clean, details_lines, figures, on_a_line, step_text, still, symbol, title_of

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence
    from typing import TextIO


SLOW_SECONDS = 5


class PlainFace:
    """Lines only: a step's line is written when it is over, and before that when it takes a while."""

    def __init__(self, out: TextIO | None = None, aside: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._aside = aside or sys.stderr
        self._shown: dict[str, str] = {}
        self._run: Any = None
        self._unfolded = False
        self._foretold = ""

    def plan(self, view: dict[str, Any]) -> None:
        if view.get("run") != self._run:
            self._run, self._shown, self._foretold = view.get("run"), {}, ""
        for step in view.get("steps", ()):
            status = str(step.get("status", ""))
            if status != self._shown.get(step["id"]) and _worth_a_line(status, view):
                self._shown[step["id"]] = status
                self._say(f"{symbol(status)} {step_text(step)}")
        if view.get("remark") and self._shown.get("") != view["remark"]:
            self._shown[""] = view["remark"]  # no step has an empty name
            self._say(f"  {clean(view['remark'])}")
        self._say_before(on_a_line(view.get("foretold") or ""))
        self._details([clean(" ".join(str(one).split())) for one in view.get("details") or ()])
        if view.get("state") in {"done", "stopped", "failed"} and view.get("steps"):
            self._say(f"{view['state']}: {figures(view, float(view.get('seconds', 0)))}")

    def _say_before(self, foretold: str) -> None:
        """Write what the plan will do, once."""
        if foretold and foretold != self._foretold:
            self._say(f"  {foretold}")
        self._foretold = foretold or self._foretold

    def _details(self, details: list[str]) -> None:
        """Write what a person has unfolded, once."""
        if details and not self._unfolded:
            for number, one in enumerate(details, start=1):
                self._say(f"    {number} {one}")
        self._unfolded = bool(details)

    def question(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        self._say(f"? {clean(payload.get('question', ''))}")
        self._choices(keys)

    def approval(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        self._say(f"? {title_of(payload)}")
        for line in details_lines(payload):
            self._say(f"    {line}")
        self._choices(keys)

    def answer(self, text: str, *, final: bool) -> None:
        if final:
            self._print(clean(text))

    def files(self, paths: Sequence[str], caption: str) -> None:
        if caption:
            self._print(clean(caption))
        for path in paths:
            self._print(clean(path))

    def notice(self, text: str) -> None:
        self._say(clean(text))

    def error(self, payload: dict[str, Any]) -> None:
        reference = f" ({clean(payload['ref'])})" if payload.get("ref") else ""
        self._say(f"! {clean(payload.get('text', ''))}{reference}")
        if payload.get("hint"):
            self._say(f"  → {clean(payload['hint'])}")

    def offers(self, keys: Sequence[tuple[str, str]]) -> None:
        """Nobody reads buttons in a log."""

    def busy(self, *, on: bool) -> None:
        """Lines do not blink."""

    def prompting(self) -> contextlib.AbstractContextManager[None]:
        return still()

    def below(self) -> str:
        return ""

    def ended(self, status: str, run: str) -> None:
        """Everything was said already."""

    def close(self) -> None:
        self._out.flush()

    def _choices(self, keys: Sequence[tuple[str, str]]) -> None:
        for key, label in keys:
            self._say(f"    {key}  {clean(label)}")

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def _say(self, text: str) -> None:
        print(text, file=self._aside, flush=True)


def _worth_a_line(status: str, view: dict[str, Any]) -> bool:
    if status == "RUNNING":
        return float(view.get("seconds", 0)) >= SLOW_SECONDS
    return symbol(status) != "·"
