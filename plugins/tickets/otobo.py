"""OTOBO and Znuny over their generic interface: the web service GenericTicketConnectorREST that both come with.

Operations: SessionCreate `POST /Session`, TicketSearch `GET /Ticket`, TicketGet `GET /Ticket/:TicketID`, TicketUpdate
`PATCH /Ticket/:TicketID`. An operation that fails says so in an `Error` object with HTTP status 200. There are no tags;
a dynamic field of the ticket that the owner names holds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
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
from plugins.tickets.service import Ask, Service, checked_url

EXAMPLE = "https://help.example.org/otobo/nph-genericinterface.pl/Webservice/GenericTicketConnectorREST"
PAGE = 20
MAX_FOUND = 2_000
LOGINS = ("session", "password")
WORDS: dict[str, Sender] = {"agent": "agent", "customer": "customer", "system": "system"}
REMEDIES = {
    "AuthFail": "Check the secrets otobo_user and otobo_password; they are those of an agent.",
    "AccessDenied": "The agent may not see or change this ticket, or it does not exist.",
    "InvalidParameter": "Use the names as the ticket system has them.",
    "MissingParameter": "The web service demands more than it does as shipped; see its configuration.",
    "InvalidConfiguration": "The web service is not set up right; see its debugger in the admin pages.",
}


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks, and how: `session` sends the password once, `password` with every request."""

    user: str
    password: str
    kind: str = "session"

    def __post_init__(self) -> None:
        if self.kind not in LOGINS:
            said = f"The setting otobo_login of [plugins.tickets] is {self.kind!r}."
            raise TicketFailure(said, hint=f"It is one of {' and '.join(LOGINS)}.")

    @property
    def credentials(self) -> dict[str, str]:
        """The parameters that the interface takes them in."""
        return {"UserLogin": self.user, "Password": self.password}


class Otobo:
    """An OTOBO or Znuny server."""

    name = "OTOBO"

    def __init__(
        self,
        url: str,
        login: Login,
        *,
        tag_field: str = "",
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        remedies = {404: "Check `url` of [plugins.tickets]: it ends with /Webservice/ and the web service's name."}
        self._service = Service(self.name, checked_url(url, EXAMPLE), remedies=remedies, pause=pause)
        self._login = login
        self._tag_field = tag_field.removeprefix("DynamicField_")
        self._session = ""
        self._opening = asyncio.Lock()

    async def fetch(self, query: Query, limit: int) -> AsyncIterator[list[Ticket]]:
        """Yield pages; the search gives ids only, so a page is a part of them, read at once."""
        found = await self._call("search tickets", "GET", "Ticket", search_params(query, limit))
        ids = [str(each) for each in _list(found.get("TicketID"))]
        given = 0
        for start in range(0, len(ids), PAGE):
            page = await self._page(ids[start : start + PAGE])
            # The search takes one word and no tag; the rest is looked for here, in all articles.
            meant = [ticket for ticket in page if query.admits(ticket) and query.found_in(ticket)][: limit - given]
            given += len(meant)
            if meant:
                yield meant
            if given >= limit:
                return

    async def get(self, ticket_id: str) -> Ticket:
        """Return a ticket with its articles."""
        return (await self._read([await self._id(ticket_id)], f"read ticket {ticket_id}"))[0]

    async def update(self, ticket_id: str, change: Change) -> Ticket:
        """Set queue, priority, state and the dynamic field of the tags by name."""
        known = await self._id(ticket_id)
        doing = f"update ticket {ticket_id}"
        fields = await self._tags(known, change.tags) if change.tags else {}
        named = {name.capitalize(): value for name, value in change.named.items()}
        body = {"TicketID": known, **({"Ticket": named} if named else {}), **fields}
        if len(body) > 1:
            await self._call(doing, "PATCH", _path(known), body=body)
        return await self.get(known)

    async def add_note(self, ticket_id: str, subject: str, body: str, *, internal: bool) -> bool:
        """Add an article; if it is unknown whether that worked, look."""
        ticket = await self.get(ticket_id)
        if holds(ticket.notes, body):
            return False
        article = {
            "CommunicationChannel": "Internal",
            "SenderType": "agent",
            "IsVisibleForCustomer": 0 if internal else 1,
            "Subject": subject,
            "Body": body,
            "ContentType": "text/plain; charset=utf-8",
            "HistoryType": "AddNote",
            "HistoryComment": "Note by Dirigent",
        }
        sent = {"TicketID": ticket.id, "Article": article}
        doing = f"add a note to ticket {ticket_id}"
        try:
            await self._call(doing, "PATCH", _path(ticket.id), body=sent, repeatable=False)
        except TicketFailure as failure:
            if not failure.unknown or not holds((await self.get(ticket.id)).notes, body):
                raise
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        await self._service.aclose()

    async def _page(self, ids: list[str]) -> list[Ticket]:
        """Read several at once; if one of them has been taken from view meanwhile, read the others one by one."""
        try:
            return await self._read(ids, f"read tickets {', '.join(ids)}")
        except TicketFailure as failure:
            if not failure.code.endswith(".AccessDenied"):
                raise
        found: list[Ticket] = []
        for each in ids:
            try:
                found += await self._read([each], f"read ticket {each}")
            except TicketFailure as failure:
                if not failure.code.endswith(".AccessDenied"):
                    raise
        return found

    async def _read(self, ids: list[str], doing: str) -> list[Ticket]:
        params = [("AllArticles", "1"), ("DynamicFields", "1")]
        found = await self._call(doing, "GET", _path(",".join(ids)), params)
        rows = [row for row in _list(found.get("Ticket")) if isinstance(row, dict)]
        if not rows:
            hint = "It may have been deleted or merged."
            raise TicketFailure(f"OTOBO could not {doing}: it sent no ticket.", hint=hint, status=404)
        return [self._ticket(row) for row in rows]

    async def _tags(self, ticket_id: str, tags: tuple[str, ...]) -> dict[str, Any]:
        """Return the update of the dynamic field: a list where it is one, else texts with commas between."""
        field = self._needed_field(f"tag ticket {ticket_id}")
        found = await self._call(f"read ticket {ticket_id}", "GET", _path(ticket_id), [("DynamicFields", "1")])
        rows = [row for row in _list(found.get("Ticket")) if isinstance(row, dict)]
        value = _field(rows[0], field) if rows else None
        has = _tags_of(value)
        lowered = {tag.casefold() for tag in has}
        every = [*has, *(tag for tag in dict.fromkeys(tags) if tag.casefold() not in lowered)]
        return {"DynamicField": {"Name": field, "Value": every if isinstance(value, list) else ", ".join(every)}}

    def _needed_field(self, doing: str) -> str:
        if not self._tag_field:
            hint = 'Name a dynamic field of the ticket: [plugins.tickets] otobo_tag_field = "Tags".'
            raise TicketFailure(f"OTOBO could not {doing}: it has no tags of its own.", hint=hint)
        return self._tag_field

    async def _id(self, ticket_id: str) -> str:
        """Return the id that the interface wants, of an id or of `#number`."""
        plain = ticket_id.strip()
        if plain.isascii() and plain.isdecimal():
            return plain
        number = plain.removeprefix("#").strip()
        if not (plain.startswith("#") and number.isascii() and number.isalnum()):
            said = f"{ticket_id!r} is no ticket id of OTOBO."
            raise TicketFailure(said, hint="Give its id such as 42, or #2026112010000042.")
        found = await self._call(f"find ticket {ticket_id}", "GET", "Ticket", [("TicketNumber", number)])
        ids = _list(found.get("TicketID"))
        if not ids:
            raise TicketFailure(f"OTOBO has no ticket with the number {number}.", hint="Check the number.", status=404)
        return str(ids[0])

    async def _call(
        self,
        doing: str,
        method: str,
        path: str,
        params: list[tuple[str, str]] | None = None,
        *,
        body: dict[str, Any] | None = None,
        repeatable: bool = True,
    ) -> Mapping[str, Any]:
        """Call an operation; a session that has ended is opened anew, once."""
        for renewed in (False, True):
            who, before = await self._who(), self._session
            if body is None:
                ask = Ask(doing, method, path, [*(params or ()), *who.items()])
            else:
                ask = Ask(doing, method, path, (), {**who, **body}, repeatable)
            answer = await self._service.ask(ask)
            code = _error_code(answer)
            if not (code.endswith(".AuthFail") and self._login.kind == "session" and not renewed):
                break
            if self._session == before:  # nobody else has opened a new one meanwhile
                self._session = ""
        return self._checked(doing, answer)

    async def _who(self) -> dict[str, str]:
        if self._login.kind == "password":
            return self._login.credentials
        async with self._opening:
            if not self._session:
                ask = Ask("log in", "POST", "Session", (), self._login.credentials)
                answer = self._checked("log in", await self._service.ask(ask))
                self._session = str(answer.get("SessionID") or "")
            if not self._session:
                hint = 'Map SessionCreate to POST /Session, or set otobo_login = "password" under [plugins.tickets].'
                raise TicketFailure("OTOBO could not log in: it sent no SessionID.", hint=hint)
        return {"SessionID": self._session}

    def _checked(self, doing: str, answer: Any) -> Mapping[str, Any]:
        if answer is None:
            return {}
        if not isinstance(answer, dict):
            hint = "Check `url` of [plugins.tickets]."
            raise TicketFailure(f"OTOBO could not {doing}: its answer has an unknown shape.", hint=hint)
        code = _error_code(answer)
        if not code:
            return answer
        said = str(answer["Error"].get("ErrorMessage") or code)[:300].rstrip(".!")
        hint = REMEDIES.get(code.rpartition(".")[2], "See the web service's debugger in the admin pages.")
        raise TicketFailure(f"OTOBO could not {doing}: {said} ({code}).", hint=hint, code=code)

    def _ticket(self, row: Mapping[str, Any]) -> Ticket:
        notes = tuple(_note(each) for each in _list(row.get("Article")) if isinstance(each, dict))
        ticket = Ticket(
            id=str(row.get("TicketID", "")),
            number=_text(row, "TicketNumber"),
            title=_text(row, "Title"),
            customer=_text(row, "CustomerUserID") or _text(row, "CustomerID"),
            queue=_text(row, "Queue"),
            priority=_text(row, "Priority"),
            state=_text(row, "State"),
            created=_text(row, "Created"),
            changed=_text(row, "Changed"),
        )
        tags = _tags_of(_field(row, self._tag_field)) if self._tag_field else []
        return replace(ticket, notes=notes, tags=tuple(tags), body=first_message(notes))


def search_params(query: Query, limit: int) -> list[tuple[str, str]]:
    """Return the parameters of TicketSearch; one that is repeated is a list there."""
    params = [("Queues", queue) for queue in query.queues]
    params += [("States", state) for state in query.states]
    params += [("Priorities", priority) for priority in query.priorities]
    bounded = limit
    if query.words or query.tags:
        bounded = MAX_FOUND
    if query.words:
        word = max(query.words, key=len).replace("*", "").replace("%", "")
        params += [("ContentSearch", "OR"), ("MIMEBase_Subject", f"%{word}%"), ("MIMEBase_Body", f"%{word}%")]
    return [*params, ("SortBy", "Age"), ("OrderBy", "Up"), ("Limit", str(bounded))]


def _error_code(answer: Any) -> str:
    error = answer.get("Error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return ""
    return str(error.get("ErrorCode") or "Error")


def _list(value: Any) -> list[Any]:
    """Return the values of what the interface sends as a list, or bare when it is one."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _field(row: Mapping[str, Any], name: str) -> Any:
    fields = [each for each in _list(row.get("DynamicField")) if isinstance(each, dict)]
    return next((each.get("Value") for each in fields if each.get("Name") == name), None)


def _tags_of(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return [tag for part in parts if (tag := str(part).strip())]


def _path(ticket_ids: str) -> str:
    return f"Ticket/{quote(ticket_ids, safe=',')}"


def _note(row: Mapping[str, Any]) -> Note:
    return Note(
        id=str(row.get("ArticleID", "")),
        subject=_text(row, "Subject"),
        body=_text(row, "Body"),
        sender=WORDS.get(_text(row, "SenderType").lower(), "customer"),
        internal=str(row.get("IsVisibleForCustomer", 1)) == "0",
        created=_text(row, "CreateTime") or _text(row, "IncomingTime"),
    )


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value)
