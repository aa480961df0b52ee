"""A small OTOBO or Znuny over real sockets, for tests: the web service GenericTicketConnectorREST as both come with it.

    async with FakeOtobo(samples) as otobo:
        config = AppConfig(plugins={"tickets": {"system": "znuny", "url": otobo.url}}, …)

Errors come with status 200, as there. Sessions end when they are told to; what is missing or unknown is refused by the
operation's own error code; faults are played as they are given.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from agent.testing.ticket_server import Fault, TicketServer, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

__all__ = ["FakeOtobo", "Fault"]
QUEUES = ("Inbox", "Billing", "IT Support", "Sales", "Contracts", "Orders")
PRIORITIES = ("1 very low", "2 low", "3 normal", "4 high", "5 very high")
STATES = ("new", "open", "closed successful")
NEEDED = ("Subject", "Body", "ContentType", "CommunicationChannel", "SenderType")
KNOWN = {"Queue": QUEUES, "Priority": PRIORITIES, "State": STATES}


class FakeOtobo(TicketServer):
    """The server, as an async context manager. `product` is otobo or znuny, which differ in their address only.

    `asked` holds (method, path) of each request, `faults` what goes wrong next, `sessions` the open ones (clear them,
    and they have expired), `logins` how many were opened, `writes` what was changed, as (ticket id, what).
    """

    def __init__(
        self,
        tickets: Iterable[Mapping[str, Any]] = (),
        *,
        product: str = "otobo",
        user: str = "agent",
        password: str = "pässwörd & more",  # noqa: S107  # of nobody
    ) -> None:
        super().__init__(
            {int(ticket["id"]): _row(ticket) for ticket in tickets},
            f"/{product}/nph-genericinterface.pl/Webservice/GenericTicketConnectorREST",
        )
        self.user = user
        self.password = password
        self.sessions: set[str] = set()
        self.logins = 0

    @property
    def url(self) -> str:
        """What goes into `[plugins.tickets] url`."""
        return f"{self.root}{self.base}"

    async def _right(self, request: web.Request, path: str) -> web.Response:  # noqa: PLR0911  # one for each operation
        text = await request.text()
        try:
            given: dict[str, Any] = json.loads(text) if text else {}
        except ValueError:
            return as_json({"faultcode": "Server", "faultstring": "Error while decoding request"}, 500)
        query = {name: request.query.getall(name) for name in request.query}
        given = {**{name: values if len(values) > 1 else values[0] for name, values in query.items()}, **given}
        operation = _operation(request.method, path)
        if not operation:
            said = "Error while determine Operation for request URI"
            return as_json({"faultcode": "Server", "faultstring": said}, 500)
        if operation == "SessionCreate":
            return self._log_in(given)
        if not self._is_known(given):
            return _error(f"{operation}.AuthFail", f"{operation}: Authorization failing!")
        if operation == "TicketSearch":
            return self._search(given)
        ids = path.removeprefix("Ticket/").split(",")
        rows = [self.tickets[int(each)] for each in ids if each.isdecimal() and int(each) in self.tickets]
        if len(rows) != len(ids):
            return _error(f"{operation}.AccessDenied", f"{operation}: User does not have access to the ticket!")
        return self._update(rows[0], given) if operation == "TicketUpdate" else as_json({"Ticket": _shown(rows, given)})

    def _log_in(self, given: Mapping[str, Any]) -> web.Response:
        if (given.get("UserLogin"), given.get("Password")) != (self.user, self.password):
            return _error("SessionCreate.AuthFail", "SessionCreate: Authorization failing!")
        self.logins += 1
        session = secrets.token_hex(16)
        self.sessions.add(session)
        return as_json({"SessionID": session})

    def _is_known(self, given: Mapping[str, Any]) -> bool:
        if given.get("SessionID"):
            return given["SessionID"] in self.sessions
        return (given.get("UserLogin"), given.get("Password")) == (self.user, self.password)

    def _search(self, given: Mapping[str, Any]) -> web.Response:
        wanted = {"Queue": given.get("Queues"), "State": given.get("States"), "Priority": given.get("Priorities")}
        found = [row for row in self.tickets.values() if _fits(row, wanted)]
        if given.get("TicketNumber"):
            found = [row for row in found if row["TicketNumber"] == given["TicketNumber"]]
        found.sort(key=lambda row: (row["Created"], row["TicketID"]), reverse=given.get("OrderBy") == "Down")
        ids = [row["TicketID"] for row in found][: int(given.get("Limit", 500))]
        return as_json({"TicketID": ids} if ids else {})

    def _update(self, row: dict[str, Any], given: Mapping[str, Any]) -> web.Response:
        changes, article = given.get("Ticket") or {}, given.get("Article")
        if not changes and not article and not given.get("DynamicField"):
            return _error("TicketUpdate.MissingParameter", "TicketUpdate: Ticket, Article or DynamicField is required!")
        for name, value in changes.items():
            if name not in KNOWN or value not in KNOWN[name]:
                said = f"TicketUpdate: Ticket->{name} parameter is invalid!"
                return _error("TicketUpdate.InvalidParameter", said)
        if article is not None:
            missing = [name for name in NEEDED if not article.get(name)]
            if missing:
                said = f"TicketUpdate: Article->{missing[0]} parameter is missing!"
                return _error("TicketUpdate.MissingParameter", said)
        if any(row[name] != value for name, value in changes.items()):
            self.writes.append((int(row["TicketID"]), "update"))
        row.update(changes)
        if article is not None:
            row["Article"].append({"ArticleID": str(1000 + len(self.writes)), **article})
            self.writes.append((int(row["TicketID"]), "note"))
        return as_json({"TicketID": row["TicketID"], "TicketNumber": row["TicketNumber"]})


def _operation(method: str, path: str) -> str:
    if path in {"Session", "Ticket"}:
        return {("POST", "Session"): "SessionCreate", ("GET", "Ticket"): "TicketSearch"}.get((method, path), "")
    if path.startswith("Ticket/"):
        return {"GET": "TicketGet", "PATCH": "TicketUpdate"}.get(method, "")
    return ""


def _row(ticket: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ticket in the interface's shape from one in that of our sample files."""
    number = int(ticket["id"])
    state, priority = ticket.get("state") or "new", ticket.get("priority") or ""
    article = {"ArticleID": str(number * 10), "Subject": ticket["title"], "Body": ticket["body"]}
    return {
        "TicketID": str(number),
        "TicketNumber": f"20261116{number:08}",
        "Title": ticket["title"],
        "Queue": ticket.get("queue") or "Inbox",
        "State": state if state in STATES else "closed successful",
        "Priority": priority if priority in PRIORITIES else "3 normal",
        "CustomerUserID": ticket.get("customer") or "tina.tester",
        "Created": ticket.get("created") or "2026-11-16 08:00:00",
        "Changed": ticket.get("created") or "2026-11-16 08:00:00",
        "Article": [{**article, "SenderType": "customer", "IsVisibleForCustomer": "1", "CreateTime": ""}],
    }


def _shown(rows: list[dict[str, Any]], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    hidden = set() if given.get("AllArticles") == "1" else {"Article"}
    return [{name: value for name, value in row.items() if name not in hidden} for row in rows]


def _fits(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        not values or row[name] in (values if isinstance(values, list) else [values]) for name, values in wanted.items()
    )


def _error(code: str, said: str) -> web.Response:
    return as_json({"Error": {"ErrorCode": code, "ErrorMessage": said}})
