"""A small Zammad over real sockets, for tests: the part of its REST interface that support tickets need.

    async with FakeZammad() as zammad:
        config = AppConfig(plugins={"tickets": {"system": "zammad", "url": zammad.url}}, …)

It refuses what Zammad refuses (a wrong token, names that it does not know, fields that are missing), gives names
instead of ids only when it is asked to expand them, pages its searches, and plays the faults that it is told to.
Shapes: https://docs.zammad.org/en/latest/api/intro.html, …/api/ticket/index.html, …/api/ticket/articles.html.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agent.testing.ticket_server import Fault, TicketServer, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

__all__ = ["FakeZammad", "Fault"]
GROUPS = ("Inbox", "Billing", "IT Support", "Sales", "Contracts", "Orders")
PRIORITIES = ("1 low", "2 normal", "3 high")
STATES = ("new", "open", "closed")
CLAUSE = re.compile(r'(?:(?P<field>[\w.]+):)?"(?P<value>(?:[^"\\]|\\.)*)"')
FIELDS = {"group.name": "group", "state.name": "state", "priority.name": "priority", "number": "number"}
MOST_PER_PAGE = 200


class FakeZammad(TicketServer):
    """The server, as an async context manager. `asked` holds (method, path) of each request, `faults` what goes wrong.

    `tickets` are rows by id with `articles`; `writes` counts what was changed, as (ticket id, what).
    """

    def __init__(
        self,
        tickets: Iterable[Mapping[str, Any]] = (),
        *,
        token: str = "t0ken-of-the-agent",  # noqa: S107  # of nobody
    ) -> None:
        super().__init__({int(ticket["id"]): _row(ticket) for ticket in tickets}, "/api/v1")
        self.token = token

    @property
    def url(self) -> str:
        """What goes into `[plugins.tickets] url`."""
        return self.root

    def _unknown(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Token token={self.token}":
            return None
        return as_json({"error": "Invalid BasicAuth credentials"}, 401)

    async def _right(self, request: web.Request, path: str) -> web.Response:  # noqa: PLR0911  # one for each address
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            return _refused("Invalid JSON")
        parts = path.split("/")
        if request.method == "GET" and path == "tickets/search":
            return self._search(request)
        if request.method == "POST" and path == "ticket_articles":
            return self._add_article(body)
        if request.method == "GET" and path == "tags":
            return self._tags(request)
        if request.method == "POST" and path == "tags/add":
            return self._add_tag(body)
        if parts[:2] == ["ticket_articles", "by_ticket"] and request.method == "GET":
            found = self._ticket(parts[2])
            return _missing(parts[2]) if found is None else as_json(found["articles"])
        if parts[0] == "tickets" and len(parts) == 2 and request.method in {"GET", "PUT"}:
            return self._one(request, parts[1], body)
        return as_json({"error": "No route matches"}, 404)

    def _one(self, request: web.Request, number: str, body: dict[str, Any]) -> web.Response:
        row = self._ticket(number)
        if row is None:
            return _missing(number)
        if request.method == "PUT":
            known = {"group": GROUPS, "priority": PRIORITIES, "state": STATES}
            for name, value in body.items():
                if name not in known:
                    return _refused(f"unknown attribute '{name}' for Ticket.")
                if value not in known[name]:
                    return _refused(f"No lookup value found for '{name}': {json.dumps(value)}")
            if any(row[name] != value for name, value in body.items()):
                self.writes.append((row["id"], "update"))
            row.update(body)
        return as_json(_shown(row, expand=request.query.get("expand") == "true"))

    def _search(self, request: web.Request) -> web.Response:
        query = request.query.get("query", "")
        page, size = int(request.query.get("page", "1")), int(request.query.get("per_page", "10"))
        if not query or page < 1 or not 0 < size <= MOST_PER_PAGE:
            return _refused("the query or the page is wrong")
        try:
            found = [row for row in self.tickets.values() if _fits(row, query)]
        except ValueError as problem:
            return _refused(str(problem))
        if request.query.get("sort_by") == "created_at":
            found.sort(key=lambda row: (row["created_at"], row["id"]), reverse=request.query.get("order_by") == "desc")
        expand = request.query.get("expand") == "true"
        return as_json([_shown(row, expand=expand) for row in found[(page - 1) * size : page * size]])

    def _add_article(self, body: dict[str, Any]) -> web.Response:
        missing = [name for name in ("ticket_id", "body") if not body.get(name)]
        if missing:
            return _refused(f'Need at least article: {{ {missing[0]}: "" }}.')
        row = self._ticket(str(body["ticket_id"]))
        if row is None:
            return _missing(str(body["ticket_id"]))
        if body.get("type", "note") != "note" or body.get("content_type") not in {"text/plain", "text/html"}:
            return _refused("article type or content_type is wrong")
        article = {"id": 1000 + len(self.writes), "sender": "Agent", "internal": False, "subject": None, **body}
        row["articles"].append(article)
        self.writes.append((row["id"], "note"))
        return as_json(article, 201)

    def _tags(self, request: web.Request) -> web.Response:
        row = self._ticket(request.query.get("o_id", ""))
        if row is None or request.query.get("object") != "Ticket":
            return _missing(request.query.get("o_id", ""))
        return as_json({"tags": row["tags"]})

    def _add_tag(self, body: dict[str, Any]) -> web.Response:
        row = self._ticket(str(body.get("o_id", "")))
        if row is None or body.get("object") != "Ticket" or not body.get("item"):
            return _missing(str(body.get("o_id", "")))
        if body["item"] not in row["tags"]:
            row["tags"].append(body["item"])
        return as_json(data=True, status=201)

    def _ticket(self, number: str) -> dict[str, Any] | None:
        return self.tickets.get(int(number)) if number.isdecimal() else None


def _row(ticket: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ticket in Zammad's shape from one in that of our sample files."""
    article = {"id": 1, "sender": "Customer", "subject": ticket["title"], "internal": False, "body": ticket["body"]}
    return {
        "id": int(ticket["id"]),
        "number": str(ticket.get("number") or f"22{ticket['id']}"),
        "title": ticket["title"],
        "group": ticket.get("queue") or "Inbox",
        "state": ticket.get("state") or "new",
        "priority": ticket.get("priority") or "2 normal",
        "customer": ticket.get("customer") or "nicole.braun@zammad.org",
        "created_at": ticket.get("created") or "2026-11-16T08:00:00.000Z",
        "updated_at": ticket.get("created") or "2026-11-16T08:00:00.000Z",
        "articles": [{**article, "content_type": "text/plain", "created_at": ticket.get("created", "")}],
        "tags": list(ticket.get("tags") or ()),
    }


def _shown(row: Mapping[str, Any], *, expand: bool) -> dict[str, Any]:
    hidden = {"articles", "tags"} if expand else {"articles", "tags", "group", "state", "priority", "customer"}
    shown = {name: value for name, value in row.items() if name not in hidden}
    return {**shown, "group_id": 1, "state_id": 1, "priority_id": 2, "customer_id": 2}


def _fits(row: Mapping[str, Any], query: str) -> bool:
    """Say whether a ticket fits a query such as `state.name:"new" AND (group.name:"a" OR group.name:"b") AND "vpn"`."""
    if query == "*":
        return True
    return all(any(_has(row, one) for one in part.strip("()").split(" OR ")) for part in query.split(" AND "))


def _has(row: Mapping[str, Any], clause: str) -> bool:
    found = CLAUSE.fullmatch(clause)
    if found is None:
        raise ValueError(f"Failed to parse query [{clause}]")
    value = re.sub(r"\\(.)", r"\1", found["value"]).casefold()
    if found["field"] is None:
        texts = [str(row["title"]), *(str(article["body"]) for article in row["articles"])]
        return any(value in text.casefold() for text in texts)
    if found["field"] == "tags":
        return value in (tag.casefold() for tag in row["tags"])
    if found["field"] not in FIELDS:
        raise ValueError(f"No mapping found for [{found['field']}]")
    return str(row[FIELDS[found["field"]]]).casefold() == value


def _refused(why: str) -> web.Response:
    return as_json({"error": why, "error_human": why}, 422)


def _missing(number: str) -> web.Response:
    said = f"Couldn't find Ticket with 'id'={number}"
    return as_json({"error": said, "error_human": said}, 404)
