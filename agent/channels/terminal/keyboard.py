"""Where lines come from: a person at a terminal, a pipe, or nobody."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFRESH = 0.25  # seconds


class Interrupted(Exception):
    """The person pressed Ctrl-C while typing."""


class Keyboard(Protocol):
    """Reads lines. `can_answer` says whether somebody is there to answer a question.

    `meanwhile` says that a line can be typed while work goes on; what a pipe brings waits for its turn.
    """

    can_answer: bool
    meanwhile: bool

    async def ask(self, prompt: str, below: Callable[[], str] | None = None) -> str | None:
        """Return the next line, or None at the end; `below` is shown under it as it changes. Raises Interrupted.

        Cancelled, it keeps what was begun for the next line.
        """


class NoKeyboard:
    """Nobody is there."""

    can_answer = False
    meanwhile = False

    async def ask(self, prompt: str, below: Callable[[], str] | None = None) -> str | None:  # noqa: ARG002 - nobody reads it
        return None


class PromptKeyboard:
    """A person: editing, history (kept in the home), pasted text as one message, Alt-Enter for a new line."""

    can_answer = True
    meanwhile = True

    def __init__(self, history: Path) -> None:
        self._history = history
        self._session: Any = None
        self._begun = ""

    async def ask(self, prompt: str, below: Callable[[], str] | None = None) -> str | None:
        from prompt_toolkit.patch_stdout import patch_stdout

        session, self._begun, begun = self._prompt(), "", self._begun
        try:
            # raw: what is printed meanwhile has its colours already.
            with patch_stdout(raw=True):
                # Ctrl-C is a key while the prompt is open. Its own signal handler would take ours away with it.
                line: str = await session.prompt_async(prompt, handle_sigint=False, default=begun, **_under(below))
        except EOFError:
            return None
        except KeyboardInterrupt:
            raise Interrupted from None
        except asyncio.CancelledError:
            self._begun = session.default_buffer.text
            raise
        return line

    def _prompt(self) -> Any:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory
        from prompt_toolkit.key_binding import KeyBindings

        if self._session is None:
            self._history.touch(mode=0o600)
            keys = KeyBindings()

            @keys.add("escape", "enter")
            def _(event: Any) -> None:
                event.current_buffer.insert_text("\n")

            self._session = PromptSession(history=FileHistory(str(self._history)), key_bindings=keys)
        return self._session


def _under(below: Callable[[], str] | None) -> dict[str, Any]:
    """Return what has the prompt show something that moves under the line; the prompt keeps what it was given last."""
    from prompt_toolkit.formatted_text import ANSI
    from prompt_toolkit.styles import Style

    if below is None:
        return {"bottom_toolbar": None, "refresh_interval": 0}
    plain = Style.from_dict({"bottom-toolbar": "noreverse"})
    return {"bottom_toolbar": lambda: ANSI(below()), "refresh_interval": REFRESH, "style": plain}


class LineKeyboard:
    """A pipe or a file: one line, one message. Read by a daemon thread, because a pipe may never end."""

    can_answer = True
    meanwhile = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdin
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._asked = threading.Semaphore(0)
        self._started = False
        self._ended = False

    async def ask(self, prompt: str, below: Callable[[], str] | None = None) -> str | None:  # noqa: ARG002 - nobody reads it
        if self._ended:
            return None
        if not self._started:
            self._started = True
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop,), daemon=True, name="stdin").start()
        self._asked.release()
        line = await self._lines.get()
        self._ended = line is None
        return line

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read a line each time one is asked for, so that nothing is taken that nobody wants."""
        while True:
            self._asked.acquire()
            line = self._stream.readline()
            try:
                loop.call_soon_threadsafe(self._lines.put_nowait, line.rstrip("\n") if line else None)
            except RuntimeError:  # the loop has ended meanwhile
                return
            if not line:
                return
