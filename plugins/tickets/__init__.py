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

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from plugins.api import (
    Button,
    Context,
    Field,
    Form,
    Menu,
    Output,
    Plugin,
    ServiceContext,
    ServiceName,
    ToolFailure,
    service,
    tool,
)
from plugins.tickets.deciding import decision, found_in, report
from plugins.tickets.desk import FOLDER, SECRETS, SETTINGS, Desk, system_named
from plugins.tickets.folder import change_one, note_one, read_folder, read_one, write_samples
from plugins.tickets.records import Change, Query, Ticket, TicketSystem, briefly, marked
from plugins.tickets.words import SHOWN, listed, reported, standing_of, told
from plugins.tickets.workspace import TicketFolder, ticket_of

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

MAX_LIMIT = 1_000
SystemName = Literal["", "zammad", "otobo", "znuny", "files"]
ServiceOf = Annotated[str, ServiceName("tickets")]


@service(secrets=SECRETS, settings=SETTINGS)
async def tickets(ctx: ServiceContext) -> AsyncIterator[Desk]:
    """The ticket system that is set up: one client for all calls, with its connections and its login."""
    desk = Desk.opened(ctx)
    try:
        yield desk
    finally:
        await desk.aclose()


# What a query or an id says goes only to the system that the owner has set, so neither is marked as leaving (`egress`).
@tool(
    host=True,
    effect="read",
    untrusted=True,
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
    ctx: Context,
    query: str = "",
    limit: int = 50,
    *,
    id: str = "",  # noqa: A002  # what people call it
    system: SystemName = "",
    folder: str = "",
    service: ServiceOf = "",
) -> Output:
    """Fetch support tickets, the oldest first: `state:new queue:"2nd Level" priority:"3 high" tag:vpn words`.

    Each has id, title, body, customer, queue, priority, state and tags; get_ticket has its notes too. With an id it is
    that ticket alone.
    """
    most = min(max(limit, 1), MAX_LIMIT)
    found: list[Ticket] = []
    place = await _system(ctx, system, folder, service)
    if id.strip():
        found = briefly([await place.get(id.strip())])
        return Output(_rows(found), listed(found, 2, ""))
    ctx.progress(f"looking into {place.name}")
    async for page in place.fetch(Query.parse(query), most):
        found += page
        ctx.progress(f"{len(found)} tickets", len(found), most)
    problems = list(getattr(place, "problems", ()))
    left = int(getattr(place, "left", 0))
    kept = briefly(found)
    left += len(found) - len(kept)
    text = listed(kept, most, query)
    if problems:
        text += "\n\nNot read:\n" + "\n".join(problems[:SHOWN])
    if left:
        text += f"\n\n{left} more are too much to pass on at once: lower the limit, or narrow the query."
    return Output(_rows(kept), text, partial=bool(problems or left))


@tool(
    host=True,
    effect="read",
    untrusted=True,
    timeout=120,
    produces=("text",),
    examples=("read ticket {id}", "show ticket {id}", "get ticket {id}", "zeige ticket {id}", "affiche le ticket {id}"),
)
async def get_ticket(
    ctx: Context,
    id: str,  # noqa: A002  # what people call it
    system: SystemName = "",
    folder: str = "",
    service: ServiceOf = "",
) -> Output:
    """Read one ticket with all its messages and notes, by its id or by `#` and its number."""
    place = await _system(ctx, system, folder, service)
    ticket = await place.get(_given(id))
    return Output(ticket.to_json(), told(ticket))


@tool(
    host=True,
    effect="idempotent",
    untrusted=True,
    standing=True,
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
    service: ServiceOf = "",
) -> Output:
    """Move a ticket to a queue, set its priority or state (names as the system has them), or add tags."""
    added = tuple(tag.strip() for tag in tags or () if tag.strip())
    change = Change(queue.strip(), priority.strip(), state.strip(), added)
    if not change:
        raise ToolFailure("There is nothing to change.", hint="Give queue, priority, state or tags.")
    place = await _system(ctx, system, folder, service)
    ticket = await place.update(_given(id), change)
    return Output(ticket.to_json(), f"Ticket {ticket.id} is now: {standing_of(ticket)}")


@tool(
    host=True,
    effect="idempotent",  # its marker is looked for first
    standing=True,
    content_args=("text", "subject"),
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
    service: ServiceOf = "",
) -> Output:
    """Add a note to a ticket, for agents only unless `internal` is false.

    The same words are added to a ticket only once; another `key` says that they are meant to be there again.
    """
    if not text.strip():
        raise ToolFailure("The note is empty.", hint="Give its text.")
    ticket_id, title = _given(id), " ".join(subject.split())[:200] or "Note"
    place = await _system(ctx, system, folder, service)
    known = (await place.get(ticket_id)).id  # a number and an id of one ticket make one marker
    added = await place.add_note(known, title, marked(known, title, text, key), internal=internal)
    said = f"The note was added to ticket {known}." if added else f"Ticket {known} has this note already."
    return Output({"id": known, "added": added}, said)


@tool(
    effect="write_inside",
    keeps_files=True,
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


@tool(
    effect="write_inside",
    untrusted=True,
    keeps_files=True,
    produces=("text",),
    examples=("change the ticket file {id} to queue {queue}", "move the ticket file {id} to {queue}"),
)
def change_ticket_file(
    id: str,  # noqa: A002  # as the other tools have it
    *,
    queue: str = "",
    priority: str = "",
    state: str = "",
    tags: list[str] | None = None,
    note: str = "",
    folder: str = FOLDER,
) -> Output:
    """Change a ticket in a folder of the workspace, and add an internal note; the same again changes nothing."""
    known = str(read_one(folder, _given(id))["id"])
    wanted = {"queue": queue.strip(), "priority": priority.strip(), "state": state.strip()}
    row = change_one(folder, known, {**wanted, "tags": [tag.strip() for tag in tags or () if tag.strip()]})
    added = bool(note.strip()) and note_one(folder, known, "Note", marked(known, "Note", note), True)
    said = f"Ticket {known} is now: {standing_of(ticket_of(row))}" + (", with a note" if added else "")
    return Output({"id": known, "added": added, **{name: row[name] for name in wanted}}, said)


@tool(effect="pure", produces=("table",), examples=("decide what to change on the ticket {ticket}",))
def decide_ticket(
    ticket: dict[str, Any],
    queue: dict[str, Any] | None = None,
    priority: dict[str, Any] | None = None,
    *,
    names: dict[str, str] | None = None,
    threshold: float = 0.5,
    lower: bool = False,
) -> Output:
    """Decide what to change on a ticket from what its text was classified as, and say why in a note.

    `queue` and `priority` are results of `classify`, or a model's answers with `label` and `confidence`. Below the
    threshold nothing changes. `names` gives the labels of priorities their names in the ticket system. A priority such
    as "2 normal" is only raised, unless `lower`.
    """
    if not 0 <= threshold <= 1:
        raise ToolFailure(f"The threshold is {threshold!r}.", hint="It is a number from 0 to 1.")
    made = decision(ticket, found_in(queue, threshold), found_in(priority, threshold, names), lower=lower)
    return Output(made, made["note"] or f"Ticket {made['id']} stays as it is.")


@tool(effect="pure", produces=("table",), examples=("report on the decided tickets {decisions}",))
def report_tickets(decisions: list[Any], done: list[Any] | None = None, *, dry: bool = False) -> Output:
    """Put into a table what was decided for tickets and what came of it, with the numbers."""
    rows, counts = report(decisions, done or [], dry=dry)
    return Output({"counts": counts, "rows": rows}, reported(rows, counts, dry=dry))


@tool(
    host=True,
    effect="pure",
    produces=("text",),
    examples=("which ticket system is set up", "welches ticketsystem ist eingerichtet"),
)
async def ticket_system(ctx: Context, system: SystemName = "", *, service: ServiceOf = "") -> Output:
    """Say which ticket system is meant, and whether its tickets lie in the workspace."""
    place = await _system(ctx, system, "", service)
    inside = isinstance(place, TicketFolder)
    return Output({"name": place.name, "inside": inside}, place.name)


async def _system(ctx: Context, system: str, folder: str, service: str) -> TicketSystem:
    """Return the system that the call, its pipeline or the owner's settings name."""
    if system_named(system) == "files" and not service:  # needs nothing that could be missing
        return TicketFolder(ctx, folder or ctx.settings.get("folder", "") or FOLDER)
    desk: Desk = await ctx.service(service or "tickets")
    return desk.system(ctx, system, folder)


def _rows(tickets: list[Ticket]) -> list[dict[str, Any]]:
    return [{name: value for name, value in ticket.to_json().items() if name != "notes"} for ticket in tickets]


def _given(ticket_id: str) -> str:
    if not ticket_id.strip():
        raise ToolFailure("No ticket is named.", hint="Give its id, or # and its number.")
    return ticket_id.strip()
