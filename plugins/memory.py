"""What the session remembers: facts, preferences and decisions, kept in its MEMORY.md.

These tools run in the agent's own process, because memory is the agent's; they see no other session's.
"""

from __future__ import annotations

from typing import Literal

from plugins.api import Button, Context, Field, Form, Menu, Output, Plugin, ToolFailure, tool

plugin = Plugin(
    ui=(
        Menu("Memory", (Button("What do you remember?", "what do you remember"),)),
        Form("Remember something", "remember", (Field("text", "What shall I remember?"),)),
        Form("Forget something", "forget", (Field("query", "What shall I forget?"),)),
    ),
)

Tag = Literal["", "PREF", "DECISION", "CONFIG", "AGREEMENT"]
MAX_TEXT = 2_000


@tool(
    host=True,
    effect="write_inside",
    examples=(
        "remember that {text}",
        "remember: {text}",
        "remember {text}",
        "note that {text}",
        "merk dir {text}",
        "merke dir, dass {text}",
        "souviens-toi que {text}",
    ),
)
async def remember(ctx: Context, text: str, tag: Tag = "") -> Output:
    """Keep a fact or preference for later conversations."""
    fact = " ".join(text.split())
    if not fact:
        raise ToolFailure("There is nothing to remember.", hint="Say it as: remember that the office closes at 18:00.")
    if len(fact) > MAX_TEXT:
        raise ToolFailure(
            f"That is {len(fact):,} characters; a memory holds at most {MAX_TEXT:,}.",
            hint="Keep it in a file, or remember a shorter version.",
        )
    entry = _bare(await ctx.memory.remember(fact, tag))
    return Output(entry, f"Remembered: {entry}")


@tool(
    host=True,
    effect="pure",
    private=True,
    produces=("text",),
    examples=(
        "what do you remember",
        "what do you know",
        "what have you remembered",
        "show my memory",
        "what is in your memory",
        "was weißt du über mich",
        "que sais-tu de moi",
        "what do you remember about {query}",
        "what do you know about me",
        "recall {query}",
        "was weißt du über {query}",
    ),
)
async def recall(ctx: Context, query: str = "", limit: int = 20) -> Output:
    """Find what was remembered, best match first; all of it without a query."""
    entries = [_bare(entry) for entry in await ctx.memory.recall(query, max(1, limit))]
    if entries:
        return Output(entries, "\n".join(f"- {entry}" for entry in entries))
    about = f" about {query!r}" if query else " yet"
    return Output([], f"I remember nothing{about}.")


@tool(
    host=True,
    effect="write_inside",
    examples=("forget {query}", "forget about {query}", "forget that {query}", "vergiss {query}", "oublie {query}"),
)
async def forget(ctx: Context, query: str) -> Output:
    """Remove what was remembered about something."""
    if not query.strip():
        raise ToolFailure("Say what to forget.", hint="For example: forget the office hours.")
    gone = [_bare(entry) for entry in await ctx.memory.forget(query)]
    if gone:
        return Output(gone, "Forgotten:\n" + "\n".join(f"- {entry}" for entry in gone))
    return Output([], f"I remembered nothing about {query!r}, so there was nothing to forget.")


def _bare(entry: str) -> str:
    """Return an entry without the list mark that it has in MEMORY.md."""
    return entry.removeprefix("- ")
