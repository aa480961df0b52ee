"""Tickets as people read them. Others wrote what they say: nothing in it moves a cursor or hides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugins.tickets.records import Ticket

SHOWN = 25


def listed(tickets: list[Ticket], most: int, query: str) -> str:
    """Return one line a ticket, and whether there may be more."""
    if not tickets:
        return f"No ticket matches {query!r}." if query.strip() else "There are no tickets."
    lines = [summary(ticket) for ticket in tickets[:SHOWN]]
    if len(tickets) > SHOWN:
        lines.append(f"… and {len(tickets) - SHOWN} more")
    if len(tickets) == most:
        lines.append(f"There may be more: {most} is the limit.")
    return "\n".join(lines)


def summary(ticket: Ticket) -> str:
    """Return id, title, and where the ticket stands, on one line."""
    facts = ", ".join(part for part in (ticket.queue, ticket.priority, ticket.state) if part)
    return line(f"{ticket.id}  {ticket.title}" + (f"  ({facts})" if facts else ""))


def told(ticket: Ticket) -> str:
    """Return a whole ticket with its messages and notes."""
    parts = [summary(ticket)]
    parts += [line(f"From {ticket.customer}")] if ticket.customer else []
    parts += [line(f"Tags: {', '.join(ticket.tags)}")] if ticket.tags else []
    parts += (
        [f"\n{clean(ticket.body)}"]
        if ticket.body and not any(note.body == ticket.body for note in ticket.notes)
        else []
    )
    for note in ticket.notes:
        head = f"{note.sender}{', internal' if note.internal else ''}{f', {note.created}' if note.created else ''}"
        parts.append(f"\n[{line(head)}] {line(note.subject)}\n{clean(note.body)}")
    return "\n".join(parts)


def standing_of(ticket: Ticket) -> str:
    """Return where a ticket stands: queue, priority, state and tags."""
    return line(
        ", ".join(part for part in (ticket.queue, ticket.priority, ticket.state, " ".join(ticket.tags)) if part)
    )


def reported(rows: list[dict[str, Any]], counts: Mapping[str, int], *, dry: bool) -> str:
    """Return a Markdown table of what was done, and the numbers."""
    if not counts["tickets"]:
        return "There was no ticket to sort."
    cells = [[_cell(row[name]) for name in ("id", "title", "from", "now")] for row in rows]
    table = ["| Ticket | Title | From | Now |", "|---|---|---|---|", *(f"| {' | '.join(each)} |" for each in cells)]
    changed = (
        f"{sum('would become' in row['now'] for row in rows)} would change" if dry else f"{counts['changed']} changed"
    )
    failed = f", {counts['failed']} could not be changed" if counts["failed"] else ""
    ones = "1 ticket" if counts["tickets"] == 1 else f"{counts['tickets']} tickets"
    return "\n".join([f"{ones}: {changed}{failed}.", "", *table])


def _cell(text: str) -> str:
    return line(text).replace("|", "/")[:60]


def line(text: str) -> str:
    """Return a text on one line, cut at 200 characters."""
    return " ".join(clean(text).split())[:200]


def clean(text: str) -> str:
    """Leave out what would move the cursor, hide text or turn its direction: others wrote this."""
    return "".join(char for char in text.replace("\r\n", "\n") if char in "\n\t" or char.isprintable())
