"""Zammad over its REST interface (/api/v1), with a token of an agent.

Endpoints and shapes: https://docs.zammad.org/en/latest/api/intro.html (expand, pagination), …/api/ticket/index.html,
…/api/ticket/articles.html, …/api/ticket/tags.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from plugins.tickets.records import (
    Change,
    Note,
    Query,
    Sender,
    Ticket,
    TicketFailure,
    first_message,
    holds,
)
from plugins.tickets.service import Ask, Service, checked_url, together

EXAMPLE = "https://support.example.org"
PAGE = 50
MAX_PAGES = 100
EXPAND = ("expand", "true")
# The senders that Zammad is installed with, for answers that carry only their ids.
SENDERS: dict[Any, Sender] = {1: "agent", 2: "customer", 3: "system"}
WORDS: dict[str, Sender] = {"agent": "agent", "customer": "customer", "system": "system"}


class Zammad:
    """A Zammad server. Queues are its groups."""

    name = "Zammad"

    def __init__(self, url: str, token: str, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._service = Service(
            self.name,
            checked_url(url, EXAMPLE).removesuffix("/api/v1"),
            headers={"Authorization": f"Token token={token}"},
            remedies={401: "The secret zammad_token is wrong, expired, or token access is switched off."},
            pause=pause,
        )

    async def fetch(self, query: Query, limit: int) -> AsyncIterator[list[Ticket]]:
        """Yield pages; Zammad gives no total, so pages are asked for until one brings nothing new."""
        seen: set[str] = set()
        given = 0
        for page in range(1, MAX_PAGES + 1):
            rows = await self._page(query, page)
            fresh = [ticket for row in rows if (ticket := _ticket(row)).id not in seen]
            seen.update(ticket.id for ticket in fresh)
            meant = [ticket for ticket in fresh if query.admits(ticket)][: limit - given]
            given += len(meant)
            if meant:
                yield await together([self._filled(ticket) for ticket in meant])
            if given >= limit or not fresh:
                return

    async def get(self, ticket_id: str) -> Ticket:
        """Return a ticket with its articles and tags."""
        known = await self._id(ticket_id)
        row = await self._service.ask(Ask(f"read ticket {ticket_id}", "GET", _path(known), (EXPAND,)))
        return await self._filled(_ticket(self._object(row, f"read ticket {ticket_id}")))

    async def update(self, ticket_id: str, change: Change) -> Ticket:
        """Set group, priority and state by name, then add the tags."""
        known = await self._id(ticket_id)
        doing = f"update ticket {ticket_id}"
        if change.named:
            named = dict(change.named)
            fields = {("group" if name == "queue" else name): value for name, value in named.items()}
            await self._service.ask(Ask(doing, "PUT", _path(known), (EXPAND,), fields))
        for tag in change.tags:
            body = {"item": tag, "object": "Ticket", "o_id": int(known)}
            await self._service.ask(Ask(f"tag ticket {ticket_id} with {tag!r}", "POST", "api/v1/tags/add", (), body))
        return await self.get(known)

    async def add_note(self, ticket_id: str, subject: str, body: str, *, internal: bool) -> bool:
        """Add a note; if it is unknown whether that worked, look."""
        known = await self._id(ticket_id)
        if holds(await self._notes(known), body):
            return False
        article = {
            "ticket_id": int(known),
            "subject": subject,
            "body": body,
            "content_type": "text/plain",
            "type": "note",
            "internal": internal,
        }
        ask = Ask(f"add a note to ticket {ticket_id}", "POST", "api/v1/ticket_articles", (), article, repeatable=False)
        try:
            await self._service.ask(ask)
        except TicketFailure as failure:
            if not failure.unknown or not holds(await self._notes(known), body):
                raise
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        await self._service.aclose()

    async def _page(self, query: Query, page: int) -> list[Mapping[str, Any]]:
        params = [
            ("query", search_words(query)),
            *(("page", str(page)), ("per_page", str(PAGE))),
            *(("sort_by", "created_at"), ("order_by", "asc"), EXPAND),
        ]
        rows = await self._service.ask(Ask("search tickets", "GET", "api/v1/tickets/search", params))
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
            raise self._odd("search tickets")
        return rows

    async def _filled(self, ticket: Ticket) -> Ticket:
        notes = await self._notes(ticket.id)
        return replace(ticket, notes=notes, tags=await self._tags(ticket.id), body=first_message(notes))

    async def _notes(self, ticket_id: str) -> tuple[Note, ...]:
        doing = f"read the articles of ticket {ticket_id}"
        path = f"api/v1/ticket_articles/by_ticket/{quote(ticket_id, safe='')}"
        rows = await self._service.ask(Ask(doing, "GET", path, (EXPAND,)))
        if not isinstance(rows, list):
            raise self._odd(doing)
        return tuple(_note(self._object(row, doing)) for row in rows)

    async def _tags(self, ticket_id: str) -> tuple[str, ...]:
        doing = f"read the tags of ticket {ticket_id}"
        found = self._object(
            await self._service.ask(Ask(doing, "GET", "api/v1/tags", (("object", "Ticket"), ("o_id", ticket_id)))),
            doing,
        )
        tags = found.get("tags") or []
        return tuple(map(str, tags)) if isinstance(tags, list) else ()

    async def _id(self, ticket_id: str) -> str:
        """Return the id that the interface wants, of an id or of `#number`."""
        plain = ticket_id.strip()
        if plain.isascii() and plain.isdecimal():
            return plain
        number = plain.removeprefix("#").strip()
        if plain.startswith("#") and number.isascii() and number.isalnum():
            doing = f"find ticket {ticket_id}"
            params = (("query", f'number:"{number}"'), ("per_page", "10"), EXPAND)
            rows = await self._service.ask(Ask(doing, "GET", "api/v1/tickets/search", params))
            exact = [row for row in rows or () if isinstance(row, dict) and str(row.get("number")) == number]
            if exact:
                return str(exact[0]["id"])
            raise TicketFailure(f"Zammad has no ticket with the number {number}.", hint="Check the number.", status=404)
        raise TicketFailure(f"{ticket_id!r} is no ticket id of Zammad.", hint="Give its id such as 42, or #22042.")

    def _object(self, found: Any, doing: str) -> Mapping[str, Any]:
        if not isinstance(found, dict):
            raise self._odd(doing)
        return found

    def _odd(self, doing: str) -> TicketFailure:
        hint = "Check that `url` of [plugins.tickets] leads to Zammad 5 or later."
        return TicketFailure(f"Zammad could not {doing}: its answer has an unknown shape.", hint=hint)


def search_words(query: Query) -> str:
    """Return the query in the language of Zammad's search (Elasticsearch's query string); all when it is empty."""
    fields = (("group.name", query.queues), ("state.name", query.states), ("priority.name", query.priorities))
    parts = [_any_of(name, values) for name, values in (*fields, ("tags", query.tags)) if values]
    parts += [_quoted(word) for word in query.words]
    return " AND ".join(parts) or "*"


def _any_of(name: str, values: tuple[str, ...]) -> str:
    each = [f"{name}:{_quoted(value)}" for value in values]
    return each[0] if len(each) == 1 else f"({' OR '.join(each)})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _path(ticket_id: str) -> str:
    return f"api/v1/tickets/{quote(ticket_id, safe='')}"


def _ticket(row: Mapping[str, Any]) -> Ticket:
    return Ticket(
        id=str(row.get("id", "")),
        number=_text(row, "number"),
        title=_text(row, "title"),
        customer=_text(row, "customer"),
        queue=_text(row, "group"),
        priority=_text(row, "priority"),
        state=_text(row, "state"),
        created=_text(row, "created_at"),
        changed=_text(row, "updated_at"),
    )


def _note(row: Mapping[str, Any]) -> Note:
    said = str(row.get("sender") or "").lower()
    return Note(
        id=str(row.get("id", "")),
        subject=_text(row, "subject"),
        body=_text(row, "body"),
        sender=WORDS.get(said) or SENDERS.get(row.get("sender_id"), "customer"),
        internal=bool(row.get("internal")),
        created=_text(row, "created_at"),
    )


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value)
