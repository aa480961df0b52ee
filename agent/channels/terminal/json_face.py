"""For programs: one JSON object a line on standard output, each with a `type`.

`plan` (PlanView) · `question`, `approval` (with `keys`: what to write on standard input) · `notice` · `error` · at the
end of each request `answer` {text, files, status, run}.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from agent.channels.terminal.face import UNSEEN, still

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence
    from typing import TextIO


class JsonFace:
    """Holds the answer back until its files are known, so that one object tells how a request ended."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._text = ""
        self._files: list[str] = []

    def plan(self, view: dict[str, Any]) -> None:
        self._write("plan", {name: value for name, value in view.items() if name != "buttons"})

    def question(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        self._ask("question", payload, keys)

    def approval(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        self._ask("approval", payload, keys)

    def answer(self, text: str, *, final: bool) -> None:
        if final:
            self._text = f"{self._text}\n\n{text}".strip()

    def files(self, paths: Sequence[str], caption: str) -> None:
        self._files += [path for path in paths if path not in self._files]
        if caption:
            self._write("notice", {"text": caption})

    def notice(self, text: str) -> None:
        self._write("notice", {"text": text})

    def error(self, payload: dict[str, Any]) -> None:
        self._write("error", {name: payload[name] for name in ("text", "hint", "ref") if payload.get(name)})

    def offers(self, keys: Sequence[tuple[str, str]]) -> None:
        """Programs send new requests."""

    def busy(self, *, on: bool) -> None:
        """Plans tell enough."""

    def prompting(self) -> contextlib.AbstractContextManager[None]:
        return still()

    def below(self) -> str:
        return ""

    def ended(self, status: str, run: str) -> None:
        self._write("answer", {"text": self._text, "files": self._files, "status": status, "run": run})
        self._text, self._files = "", []

    def close(self) -> None:
        self._out.flush()

    def _ask(self, kind: str, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        told = {name: value for name, value in payload.items() if name != "buttons"}
        self._write(kind, {**told, "keys": dict(keys)})

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        line = json.dumps({"type": kind, **fields}, ensure_ascii=False, default=str)
        # Somebody may be looking: what a terminal would act on is escaped, which is the same JSON.
        print(UNSEEN.sub(lambda found: _escaped(found[0]), line), file=self._out, flush=True)


def _escaped(char: str) -> str:
    """Return a character as JSON escapes it; those beyond the first plane take two."""
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
