"""Support tickets: fetch, read, update, annotate, in Zammad, OTOBO, Znuny, or a folder of JSON files.

Which system it is says dirigent.toml::

    [plugins.tickets]
    system = "zammad"                       # or "otobo", or "files", which needs nothing more
    url = "https://support.example.org"

    [secrets]
    zammad_token = "…"                      # for OTOBO and Znuny: otobo_user and otobo_password

A query is the same for all of them: `state:new queue:"2nd Level" priority:"3 high" tag:vpn printer`. What tickets say
was written by others: it is labelled so, and never obeyed. Servers are asked from the agent's own process, because only
that has the secrets; the folder is read and written inside the sandbox.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Literal

from plugins.api import Button, Context, Field, Form, Menu, Output, Plugin, ToolFailure, tool
from plugins.tickets.folder import change_one, note_one, read_folder, read_one, write_samples
from plugins.tickets.records import Change, Query, Ticket, TicketSystem, briefly, marked

__all__ = ["change_one", "note_one", "read_folder", "read_one"]  # found here by name, inside the sandbox

plugin = Plugin(
    summary="Support tickets in Zammad, OTOBO, Znuny or a folder.",
    settings={
        "system": "Where tickets are: zammad, otobo (also for Znuny) or files (the default).",
        "url": "Address of the system: https://support.example.org for Zammad, for OTOBO and Znuny that of the web "
        "service, ending with /nph-genericinterface.pl/Webservice/GenericTicketConnectorREST.",
        "folder": "Folder of the workspace with JSON tickets, for files; tickets unless set.",
        "otobo_login": "session (the default) sends the password once, password with every request.",
        "otobo_tag_field": "Name of a dynamic field of the ticket that holds its tags: a text with commas, or a list.",
    },
    ui=(
        Menu(
            "Tickets",
            (Button("New tickets", "fetch tickets state:new"), Button("Try it with samples", "write sample tickets")),
        ),
        Form("Read a ticket", "get_ticket", (Field("id", "Which one? Its id, or # and its number"),)),
    ),
)

SYSTEMS = ("zammad", "otobo", "files")
ALIASES = {"znuny": "otobo", "otrs": "otobo", "file": "files", "folder": "files"}
SECRETS = ("zammad_token", "otobo_user", "otobo_password")
FOLDER = "tickets"
MAX_LIMIT = 1_000
SHOWN = 25
SystemName = Literal["", "zammad", "otobo", "znuny", "files"]


# What a query or an id says goes only to the system that the owner has set, so neither is marked as leaving (`egress`).
@tool(
    host=True,
    effect="read",
    untrusted=True,
    secrets=SECRETS,
    timeout=300,
    produces=("table",),
    examples=(
        "fetch tickets",
        "fetch tickets {query}",
        "fetch the tickets",
        "show tickets {query}",
        "show the tickets",
        "list tickets",
        "search tickets for {query}",
        "which tickets are there",
        "hole tickets",
        "hole die tickets {query}",
        "zeige tickets {query}",
        "affiche les tickets",
    ),
)
async def fetch_tickets(
    ctx: Context, query: str = "", limit: int = 50, system: SystemName = "", folder: str = ""
) -> Output:
    """Fetch support tickets, the oldest first: `state:new queue:"2nd Level" priority:"3 high" tag:vpn words`.

    Each has id, title, body, customer, queue, priority, state and tags; get_ticket has its notes too.
    """
    most = min(max(limit, 1), MAX_LIMIT)
    found: list[Ticket] = []
    async with _opened(ctx, system, folder) as tickets:
        ctx.progress(f"looking into {tickets.name}")
        async for page in tickets.fetch(Query.parse(query), most):
            found += page
            ctx.progress(f"{len(found)} tickets", len(found), most)
        problems = list(getattr(tickets, "problems", ()))
        left = int(getattr(tickets, "left", 0))
    kept = briefly(found)
    left += len(found) - len(kept)
    text = _listed(kept, most, query)
    if problems:
        text += "\n\nNot read:\n" + "\n".join(problems[:SHOWN])
    if left:
        text += f"\n\n{left} more are too much to pass on at once: lower the limit, or narrow the query."
    rows = [{name: value for name, value in ticket.to_json().items() if name != "notes"} for ticket in kept]
    return Output(rows, text, partial=bool(problems or left))


@tool(
    host=True,
    effect="read",
    untrusted=True,
    secrets=SECRETS,
    timeout=120,
    produces=("text",),
    examples=("read ticket {id}", "show ticket {id}", "get ticket {id}", "zeige ticket {id}", "affiche le ticket {id}"),
)
async def get_ticket(ctx: Context, id: str, system: SystemName = "", folder: str = "") -> Output:  # noqa: A002  # what people call it
    """Read one ticket with all its messages and notes, by its id or by `#` and its number."""
    async with _opened(ctx, system, folder) as tickets:
        ticket = await tickets.get(_given(id))
    return Output(ticket.to_json(), _told(ticket))


@tool(
    host=True,
    effect="idempotent",
    untrusted=True,
    secrets=SECRETS,
    timeout=120,
    produces=("text",),
    examples=(
        "move ticket {id} to {queue}",
        "set the priority of ticket {id} to {priority}",
        "set the state of ticket {id} to {state}",
        "verschiebe ticket {id} nach {queue}",
    ),
)
async def update_ticket(
    ctx: Context,
    id: str,  # noqa: A002  # what people call it
    *,
    queue: str = "",
    priority: str = "",
    state: str = "",
    tags: list[str] | None = None,
    system: SystemName = "",
    folder: str = "",
) -> Output:
    """Move a ticket to a queue, set its priority or state (names as the system has them), or add tags."""
    added = tuple(tag.strip() for tag in tags or () if tag.strip())
    change = Change(queue.strip(), priority.strip(), state.strip(), added)
    if not change:
        raise ToolFailure("There is nothing to change.", hint="Give queue, priority, state or tags.")
    async with _opened(ctx, system, folder) as tickets:
        ticket = await tickets.update(_given(id), change)
    now = ", ".join(part for part in (ticket.queue, ticket.priority, ticket.state, " ".join(ticket.tags)) if part)
    return Output(ticket.to_json(), f"Ticket {ticket.id} is now: {_line(now)}")


@tool(
    host=True,
    effect="once",
    content_args=("text", "subject"),
    secrets=SECRETS,
    timeout=120,
    produces=("text",),
    examples=(
        "add a note to ticket {id}: {text}",
        "note on ticket {id}: {text}",
        "notiere zu ticket {id}: {text}",
    ),
)
async def add_note(
    ctx: Context,
    id: str,  # noqa: A002  # what people call it
    text: str,
    *,
    subject: str = "Note",
    internal: bool = True,
    key: str = "",
    system: SystemName = "",
    folder: str = "",
) -> Output:
    """Add a note to a ticket, for agents only unless `internal` is false.

    The same words are added to a ticket only once; another `key` says that they are meant to be there again.
    """
    if not text.strip():
        raise ToolFailure("The note is empty.", hint="Give its text.")
    ticket_id, title = _given(id), " ".join(subject.split())[:200] or "Note"
    async with _opened(ctx, system, folder) as tickets:
        known = (await tickets.get(ticket_id)).id  # a number and an id of one ticket make one marker
        added = await tickets.add_note(known, title, marked(known, title, text, key), internal=internal)
    said = f"The note was added to ticket {known}." if added else f"Ticket {known} has this note already."
    return Output({"id": known, "added": added}, said)


@tool(
    effect="write_inside",
    produces=(".json",),
    examples=(
        "write sample tickets",
        "write sample tickets to {folder}",
        "make sample tickets",
        "sample tickets",
        "beispieltickets",
    ),
)
def sample_tickets(folder: str = FOLDER) -> Output:
    """Write sample support tickets into a folder of the workspace, to try things with; files that are there stay."""
    written, kept = write_samples(folder)
    text = f"{len(written)} sample tickets are in {folder}."
    if kept:
        text += f" {len(kept)} were there before and were left as they are."
    return Output({"folder": folder, "written": written, "kept": kept}, text)


@contextlib.asynccontextmanager
async def _opened(ctx: Context, system: str, folder: str) -> AsyncIterator[TicketSystem]:
    tickets = _open(ctx, system, folder)
    try:
        yield tickets
    finally:
        await tickets.aclose()


def _open(ctx: Context, system: str, folder: str) -> TicketSystem:
    """Return the system that the call or the owner's settings name. Raises ToolFailure for one that is not set up."""
    settings = ctx.settings
    configured = _named(settings.get("system", ""))
    chosen = _named(system) or configured or "files"
    if chosen == "files":
        from plugins.tickets.workspace import TicketFolder

        return TicketFolder(ctx, folder or settings.get("folder", "") or FOLDER)
    if chosen != configured:
        # The one address that is set is that of the other system: its secrets must not go there.
        said = f"The ticket system {chosen} is not set up."
        raise ToolFailure(said, hint=f'Set [plugins.tickets] system = "{chosen}" and url = "…" in dirigent.toml.')
    url = settings.get("url", "")
    if chosen == "zammad":
        from plugins.tickets.zammad import Zammad

        return Zammad(url, ctx.secret("zammad_token"))
    from plugins.tickets.otobo import Login, Otobo

    login = Login(ctx.secret("otobo_user"), ctx.secret("otobo_password"), settings.get("otobo_login", "") or "session")
    return Otobo(url, login, tag_field=settings.get("otobo_tag_field", ""))


def _named(system: str) -> str:
    plain = system.strip().lower()
    chosen = ALIASES.get(plain, plain)
    if chosen and chosen not in SYSTEMS:
        raise ToolFailure(f"There is no ticket system {system!r}.", hint=f"Known are {', '.join(SYSTEMS)}.")
    return chosen


def _given(ticket_id: str) -> str:
    if not ticket_id.strip():
        raise ToolFailure("No ticket is named.", hint="Give its id, or # and its number.")
    return ticket_id.strip()


def _listed(tickets: list[Ticket], most: int, query: str) -> str:
    if not tickets:
        return f"No ticket matches {query!r}." if query.strip() else "There are no tickets."
    lines = [_summary(ticket) for ticket in tickets[:SHOWN]]
    if len(tickets) > SHOWN:
        lines.append(f"… and {len(tickets) - SHOWN} more")
    if len(tickets) == most:
        lines.append(f"There may be more: {most} is the limit.")
    return "\n".join(lines)


def _summary(ticket: Ticket) -> str:
    facts = ", ".join(part for part in (ticket.queue, ticket.priority, ticket.state) if part)
    return _line(f"{ticket.id}  {ticket.title}" + (f"  ({facts})" if facts else ""))


def _told(ticket: Ticket) -> str:
    parts = [_summary(ticket)]
    parts += [_line(f"From {ticket.customer}")] if ticket.customer else []
    parts += [_line(f"Tags: {', '.join(ticket.tags)}")] if ticket.tags else []
    parts += (
        [f"\n{_clean(ticket.body)}"]
        if ticket.body and not any(note.body == ticket.body for note in ticket.notes)
        else []
    )
    for note in ticket.notes:
        head = f"{note.sender}{', internal' if note.internal else ''}{f', {note.created}' if note.created else ''}"
        parts.append(f"\n[{_line(head)}] {_line(note.subject)}\n{_clean(note.body)}")
    return "\n".join(parts)


def _line(text: str) -> str:
    return " ".join(_clean(text).split())[:200]


def _clean(text: str) -> str:
    """Leave out what would move the cursor, hide text or turn its direction: others wrote this."""
    return "".join(char for char in text.replace("\r\n", "\n") if char in "\n\t" or char.isprintable())
