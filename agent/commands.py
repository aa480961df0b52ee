"""The chat commands that Dirigent itself answers; everything else after a slash belongs to plugins."""

from __future__ import annotations

from dataclasses import dataclass

STOP_WORDS = frozenset({"stop", "/stop", "/cancel", "stopp", "halt", "стоп", "停", "停止", "arrête"})
MARKS = " .!。！"
HELP = {
    "/new": "start afresh: forget the conversation so far (files and memory stay)",
    "/stop": "stop what is running",
    "/plan": "show the present plan",
    "/run": "carry out a pipeline: `/run NAME input=value`",
    "/pipelines": "list the pipelines",
    "/save": "save the last request as a pipeline: `/save [NAME]`",
    "/files": "list the files of this chat",
    "/memory": "show what I remember; `/memory forget WORDS` removes facts",
    "/schedules": "list what runs by itself; run, pause or delete it",
    "/status": "show the model, the sandbox and what is going on",
    "/help": "show this",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the text after it."""

    name: str
    rest: str = ""


def is_stop(text: str) -> bool:
    """Tell whether the person wants the work to stop: `/stop` or the bare word, in whatever language we know it."""
    return text.strip().strip(MARKS).casefold() in STOP_WORDS


def parse(text: str) -> Command | None:
    """Return the command in a message (`/name@bot rest` counts as `/name rest`), or None for an ordinary message."""
    stripped = text.strip()
    if is_stop(text):
        return Command("/stop")
    if not stripped.startswith("/"):
        return None
    word, _, rest = stripped.partition(" ")
    return Command(word.partition("@")[0].casefold(), rest.strip())


def help_text(plugin_commands: dict[str, str], examples: list[str]) -> str:
    """Return the text of /help: what to type, the commands, and the plugins' commands."""
    lines = ["Tell me what you need in your own words. I plan it, ask when something is unclear, and do it."]
    if examples:
        lines += ["", "For example:", *(f"- {example}" for example in examples)]
    lines += ["", *(f"{name} — {what}" for name, what in HELP.items())]
    lines += [f"/{name} — {what}" for name, what in sorted(plugin_commands.items())[:30]]
    return "\n".join(lines)
