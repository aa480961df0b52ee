"""The chat commands that Dirigent itself answers; everything else after a slash belongs to plugins."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.messages import is_stop
from agent.texts import mark, say

HELP = {
    "/new": mark("start afresh: forget the conversation so far (files and memory stay)"),
    "/stop": mark("stop what is running"),
    "/undo": mark("bring the files back to before the last request"),
    "/plan": mark("show the present plan"),
    "/run": mark("carry out a pipeline: `/run NAME input=value`"),
    "/pipelines": mark("list the pipelines"),
    "/skills": mark("list the skills; `/skill NAME WORDS` has a request done with one"),
    "/save": mark("save the last request as a pipeline: `/save [NAME]`"),
    "/files": mark("list the files of this chat"),
    "/memory": mark("show what I remember; `/memory forget WORDS` removes facts"),
    "/chains": "list chains of pipelines; run them",
    "/projects": "list projects with their budgets; pause them, let them go on",
    "/events": "show events that wait or could not be handled",
    "/tools": mark("show the menus and forms of the plugins"),
    "/schedules": mark("list what runs by itself; run, pause or delete it"),
    "/grants": mark("list what I may do without asking again; take it back"),
    "/status": mark("show the model, the sandbox and what is going on"),
    "/settings": mark("choose the language"),
    "/help": mark("show this"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the text after it."""

    name: str
    rest: str = ""


def parse(text: str) -> Command | None:
    """Return the command in a message (`/name@bot rest` counts as `/name rest`), or None for an ordinary message."""
    stripped = text.strip()
    if is_stop(text):
        return Command("/stop")
    if not stripped.startswith("/"):
        return None
    word, _, rest = stripped.partition(" ")
    return Command(word.partition("@")[0].casefold(), rest.strip())


def help_text(plugin_commands: dict[str, str], examples: list[str], language: str = "en") -> str:
    """Return the text of /help: what to type, the commands, and the plugins' commands."""
    how = "Tell me what you need in your own words. I plan it, ask when something is unclear, and do it."
    lines = [say(language, how)]
    if examples:
        lines += ["", say(language, "For example:"), *(f"- {example}" for example in examples)]
    lines += ["", *(f"{name} — {say(language, what)}" for name, what in HELP.items())]
    lines += [f"/{name} — {what}" for name, what in sorted(plugin_commands.items())[:30]]
    return "\n".join(lines)
