"""For people: a live checklist, the answer as Markdown, questions that stand out."""

from __future__ import annotations

import contextlib
import io
import re
import time
from typing import TYPE_CHECKING, Any

from agent.channels.terminal.face import clean, details_lines, figures, on_a_line, step_text, symbol, title_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.live import Live

COLOURS = {"✓": "green", "✗": "red", "›": "cyan", "?": "yellow", "–": "dim", "·": "dim"}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
CODE = re.compile(r"(```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`)", re.DOTALL)
TAIL_LINES = 12


class RichFace:
    """Draws with rich. What moves is below what stays; what stays is printed once."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._view: dict[str, Any] | None = None
        self._seen_at = 0.0
        self._draft = ""
        self._busy = False
        self._prompting = False

    # --- what a channel shows -----------------------------------------------------------------------------------
    def plan(self, view: dict[str, Any]) -> None:
        self._view, self._seen_at = view, time.monotonic()
        if view.get("state") in {"done", "stopped", "failed"}:
            self._keep_plan()
        else:
            self._move()

    def question(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        from rich.text import Text

        of = int(payload.get("of") or 1)
        count = f"  ({payload.get('number', 1)} of {of})" if of > 1 else ""
        head = Text.assemble(("? ", "bold yellow"), (clean(payload.get("question", "")), "bold"), (count, "dim"))
        self._stay(Text(), head, *self._choices(keys))

    def approval(self, payload: dict[str, Any], keys: Sequence[tuple[str, str]]) -> None:
        from rich.panel import Panel
        from rich.text import Text

        body = Text("\n".join(details_lines(payload)))
        title = Text(title_of(payload), style="bold")
        self._stay(Panel(body, title=title, title_align="left", border_style="yellow"), *self._choices(keys))

    def answer(self, text: str, *, final: bool) -> None:
        from rich.text import Text

        if not final:
            self._draft = clean(text)
            self._move()
            return
        self._draft = ""
        if self._view is not None:
            self._keep_plan()
        self._stay(Text(), as_markdown(text))

    def files(self, paths: Sequence[str], caption: str) -> None:
        from rich.text import Text

        lines = [Text(clean(caption), style="dim")] if caption else []
        lines += [Text.assemble(("→ ", "green"), (clean(path), "bold")) for path in paths]
        for line in lines:
            self._console.print(line, soft_wrap=True)  # a path that is broken over two lines cannot be copied

    def notice(self, text: str) -> None:
        from rich.text import Text

        self._stay(Text(clean(text), style="dim"))

    def error(self, payload: dict[str, Any]) -> None:
        from rich.text import Text

        reference = f"  {clean(payload['ref'])}" if payload.get("ref") else ""
        self._stay(Text.assemble(("! ", "bold red"), clean(payload.get("text", "")), (reference, "dim")))
        if payload.get("hint"):
            self._stay(Text(f"  → {clean(payload['hint'])}"))

    def offers(self, keys: Sequence[tuple[str, str]]) -> None:
        from rich.text import Text

        self._stay(Text("  ".join(f"{key} {clean(label)}" for key, label in keys), style="dim"))

    def busy(self, *, on: bool) -> None:
        self._busy = on
        if on:
            self._move()
        elif self._view is None and not self._draft:
            self._halt()

    @contextlib.contextmanager
    def prompting(self) -> Iterator[None]:
        """Nothing moves while the person types; what comes meanwhile is printed above."""
        self._halt()
        self._prompting = True
        try:
            yield
        finally:
            self._prompting = False

    def below(self) -> str:
        from rich.console import Console

        drawn = io.StringIO()
        Console(file=drawn, force_terminal=True, width=self._console.width, highlight=False).print(self._moving())
        return drawn.getvalue().rstrip()

    def ended(self, status: str, run: str) -> None:  # noqa: ARG002 - people need no id
        self._busy = False
        if self._view is not None and status != "waiting":
            self._keep_plan()
        self._halt()

    def close(self) -> None:
        self._halt()

    # --- what moves and what stays ------------------------------------------------------------------------------
    def _move(self) -> None:
        """Draw the moving part, from now on several times a second."""
        from rich.live import Live

        if self._prompting or not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, get_renderable=self._moving, refresh_per_second=8, transient=True)
            self._live.start()
        self._live.refresh()

    def _halt(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _stay(self, *parts: RenderableType) -> None:
        for part in parts:
            self._console.print(part)

    def _keep_plan(self) -> None:
        """Print the plan as it ended; it does not move any more."""
        view, self._view = self._view, None
        self._halt()
        if view is not None and view.get("steps"):
            self._stay(self._checklist(view, float(view.get("seconds", 0))))

    def _moving(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = []
        if self._view is not None:
            running = self._view.get("state") == "running"
            passed = time.monotonic() - self._seen_at if running else 0.0
            parts.append(self._checklist(self._view, float(self._view.get("seconds", 0)) + passed))
        if self._draft:
            parts.append(Text("\n".join(["", *self._draft.splitlines()[-TAIL_LINES:]])))
        if not parts and self._busy:
            parts.append(Text(f"{self._frame()} thinking", style="dim"))
        return Group(*parts)

    def _checklist(self, view: dict[str, Any], seconds: float) -> RenderableType:
        from rich.text import Text

        head = Text.assemble((clean(view.get("title", "")) or "Plan", "bold"), (f"   {figures(view, seconds)}", "dim"))
        lines, details = [head], [clean(" ".join(str(one).split())) for one in view.get("details") or ()]
        for number, step in enumerate(view.get("steps", ()), start=1):
            mark = symbol(str(step.get("status", "")))
            shown = self._frame() if mark == "›" and view.get("state") == "running" else mark
            lines.append(Text.assemble((f"{shown} ", COLOURS[mark]), (f"{number} ", "dim"), step_text(step)))
            if number <= len(details):
                lines.append(Text(f"    {details[number - 1]}", style="dim"))
        if view.get("hidden"):
            lines.append(Text(f"  … and {view['hidden']} more", style="dim"))
        if view.get("foretold"):
            lines.append(Text(f"  {on_a_line(view['foretold'])}", style="dim"))
        if view.get("remark"):
            lines.append(Text(f"  {clean(view['remark'])}", style="dim italic"))
        return Text("\n").join(lines)

    def _frame(self) -> str:
        return FRAMES[int(time.monotonic() * 8) % len(FRAMES)]

    def _choices(self, keys: Sequence[tuple[str, str]]) -> list[RenderableType]:
        from rich.text import Text

        return [Text.assemble((f"  {key} ", "cyan"), clean(label)) for key, label in keys]


def as_markdown(text: str) -> RenderableType:
    """Return the text drawn as Markdown; `<` outside code stays visible (HTML would vanish), links show where to."""
    from rich.markdown import Markdown

    parts = CODE.split(clean(text))
    parts[::2] = [re.sub(r"(?<!\\)<", r"\\<", part) for part in parts[::2]]
    return Markdown("".join(parts), hyperlinks=False)
