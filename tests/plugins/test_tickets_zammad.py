"""The Zammad adapter against answers as its documentation shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import respx

from plugins.api import ToolFailure
from plugins.tickets import add_note, fetch_tickets, get_ticket, update_ticket
from plugins.tickets.records import Change, Query, TicketFailure, marked
from plugins.tickets.zammad import PAGE, Zammad, search_words

URL = "https://zammad.example.org"
TOKEN = "t0ken-of-the-agent"


class FakeZammad:
    """Answers as Zammad does; `before` holds answers that come first for (method, path)."""

    def __init__(self, tickets: int = 0) -> None:
        self.rows = {number: self.row(number) for number in range(1, tickets + 1)}
        self.articles: dict[int, list[dict[str, Any]]] = {
            number: [self.article(number, "Customer", f"Hello, I am {number} <b>ü 日本</b>")] for number in self.rows
        }
        self.tags: dict[int, list[str]] = {number: [] for number in self.rows}
        self.asked: list[httpx.Request] = []
        self.before: dict[tuple[str, str], list[Any]] = {}
        self.groups = {"Users", "2nd Level"}

    @staticmethod
    def row(number: int) -> dict[str, Any]:
        return {
            "id": number,
            "number": f"22{number:03}",
            "title": f"Ticket {number}",
            "group_id": 1,
            "group": "Users",
            "state": "new",
            "priority": "2 normal",
            "customer": "david@example.com",
            "note": None,
            "created_at": f"2026-11-03T11:{number % 60:02}:00.000Z",
            "updated_at": "2026-11-03T12:00:00.000Z",
        }

    @staticmethod
    def article(number: int, sender: str, body: str, **more: Any) -> dict[str, Any]:
        return {"id": 100 + number, "ticket_id": number, "subject": None, "body": body, "sender": sender} | more

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path.removeprefix("/api/v1/")
        waiting = self.before.get((request.method, path), [])
        if waiting:
            first = waiting.pop(0)
            if isinstance(first, Exception):
                raise first
            if callable(first):
                return first(request)
            return first
        if request.headers["authorization"] != f"Token token={TOKEN}":
            return httpx.Response(401, json={"error": "Invalid BasicAuth credentials"})
        return self.answer(request, path)

    def answer(self, request: httpx.Request, path: str) -> httpx.Response:  # noqa: PLR0911  # one for each address
        body = json.loads(request.content) if request.content else {}
        params = request.url.params
        if path == "tickets/search":
            page, size = int(params.get("page", 1)), int(params["per_page"])
            if params["query"].startswith("number:"):
                found = [row for row in self.rows.values() if f'"{row["number"]}"' in params["query"]]
            else:
                found = list(self.rows.values())[(page - 1) * size : page * size]
            return httpx.Response(200, json=found)
        if path == "ticket_articles":
            if "internal" not in body or "ticket_id" not in body:
                return httpx.Response(422, json={"error": "missing"})
            made = self.article(body["ticket_id"], "Agent", body["body"], internal=body["internal"])
            self.articles[body["ticket_id"]].append(made)
            return httpx.Response(201, json=made)
        if path == "tags/add":
            tags = self.tags[body["o_id"]]
            tags += [body["item"]] if body["item"] not in tags else []
            return httpx.Response(201, json=True)
        if path == "tags":
            return httpx.Response(200, json={"tags": self.tags[int(params["o_id"])]})
        number = int(path.rpartition("/")[2])
        if number not in self.rows:
            error = f"Couldn't find Ticket with 'id'={number}"
            return httpx.Response(404, json={"error": error, "error_human": error})
        if path.startswith("ticket_articles/by_ticket/"):
            return httpx.Response(200, json=self.articles[number])
        if request.method == "PUT":
            if body.get("group", "Users") not in self.groups:
                return httpx.Response(422, json={"error": f"No lookup value found for 'group': \"{body['group']}\""})
            self.rows[number].update(body)
        return httpx.Response(200, json=self.rows[number])

    def count(self, method: str, path: str) -> int:
        return sum(1 for ask in self.asked if (ask.method, ask.url.path) == (method, f"/api/v1/{path}"))


@pytest.fixture
def fake() -> Iterator[FakeZammad]:
    server = FakeZammad(3)
    with respx.mock(assert_all_called=False) as router:
        router.route(host="zammad.example.org").mock(side_effect=server)
        yield server


@pytest.fixture
def ctx(host_ctx: Any) -> Any:
    host_ctx.settings = {"system": "zammad", "url": URL}
    host_ctx.secrets = {"zammad_token": TOKEN}
    return host_ctx


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
async def zammad(waits: list[float]):
    async def pause(seconds: float) -> None:
        waits.append(seconds)

    adapter = Zammad(URL, TOKEN, pause=pause)
    yield adapter
    await adapter.aclose()


async def all_of(zammad: Zammad, query: str = "", limit: int = 1_000) -> list[Any]:
    return [ticket async for page in zammad.fetch(Query.parse(query), limit) for ticket in page]


async def refusal(call: Any) -> TicketFailure:
    with pytest.raises(ToolFailure) as caught:
        await call
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"
    assert isinstance(caught.value, TicketFailure)
    return caught.value


# --- reading --------------------------------------------------------------------------------------------------------


async def test_tickets_are_fetched_with_names_message_and_tags(ctx: Any, fake: FakeZammad):
    fake.tags[1] = ["vip"]
    result = await fetch_tickets(ctx, "state:new", limit=2)
    first = result.value[0]
    assert (first["id"], first["queue"], first["priority"], first["tags"]) == ("1", "Users", "2 normal", ["vip"])
    assert first["body"] == "Hello, I am 1 <b>ü 日本</b>"
    assert len(result.value) == 2
    search = fake.asked[0].url.params
    assert (search["query"], search["expand"], search["order_by"]) == ('state.name:"new"', "true", "asc")
    assert fake.asked[0].headers["authorization"] == f"Token token={TOKEN}"


async def test_pages_are_asked_for_until_one_is_empty(zammad: Zammad, fake: FakeZammad):
    fake.__init__(2 * PAGE + 20)  # type: ignore[misc]
    found = await all_of(zammad)
    assert [int(ticket.id) for ticket in found] == list(range(1, 2 * PAGE + 21))
    pages = [ask.url.params["page"] for ask in fake.asked if ask.url.path.endswith("/search")]
    assert pages == ["1", "2", "3", "4"]


async def test_no_page_beyond_the_limit_is_asked_for(zammad: Zammad, fake: FakeZammad):
    fake.__init__(2 * PAGE)  # type: ignore[misc]
    assert len(await all_of(zammad, limit=PAGE)) == PAGE
    assert fake.count("GET", "tickets/search") == 1


async def test_a_server_that_ignores_pages_ends_the_search(zammad: Zammad, fake: FakeZammad):
    same = httpx.Response(200, json=list(fake.rows.values()))
    fake.before["GET", "tickets/search"] = [same] * 20
    assert len(await all_of(zammad)) == 3
    assert fake.count("GET", "tickets/search") == 2


async def test_what_the_search_finds_beside_the_query_is_left_out(zammad: Zammad, fake: FakeZammad):
    fake.rows[2]["state"] = "closed"
    assert [ticket.id for ticket in await all_of(zammad, "state:New queue:users")] == ["1", "3"]


def test_a_query_is_written_in_the_search_language_and_cannot_leave_its_quotes():
    query = Query.parse('queue:"2nd Level",Users state:new tag:vpn printer OR')
    assert search_words(query) == (
        '(group.name:"2nd Level" OR group.name:"Users") AND state.name:"new" AND tags:"vpn" AND "printer" AND "OR"'
    )
    assert search_words(Query()) == "*"
    assert search_words(Query(words=('a" OR state:x', "b\\"))) == '"a\\" OR state:x" AND "b\\\\"'


async def test_a_ticket_is_read_with_its_articles(zammad: Zammad, fake: FakeZammad):
    fake.articles[1] = [
        fake.article(1, "System", "Automatic reply"),
        {"id": 7, "body": "It broke", "sender_id": 2, "internal": False},
        fake.article(1, "Agent", "on it", internal=True),
    ]
    ticket = await zammad.get("1")
    assert ticket.body == "It broke"
    assert [(note.sender, note.internal) for note in ticket.notes] == [
        ("system", False),
        ("customer", False),
        ("agent", True),
    ]


async def test_a_number_leads_to_its_ticket_and_no_other(ctx: Any, fake: FakeZammad):
    assert (await get_ticket(ctx, "#22002")).value["id"] == "2"
    fake.before["GET", "tickets/search"] = [httpx.Response(200, json=[fake.row(1)])]
    assert "no ticket with the number 9" in (await refusal(get_ticket(ctx, "#9"))).message


@pytest.mark.parametrize("ticket_id", ["../users/1", "1?x=1", "1/2", "", "١", "#1 OR 2"])
async def test_an_id_is_no_way_to_other_addresses(zammad: Zammad, fake: FakeZammad, ticket_id: str):
    assert "no ticket id" in (await refusal(zammad.get(ticket_id))).message
    assert fake.asked == []


# --- changing -------------------------------------------------------------------------------------------------------


async def test_an_update_goes_by_name_and_adds_tags(ctx: Any, fake: FakeZammad):
    result = await update_ticket(ctx, "2", queue="2nd Level", priority="3 high", state="open", tags=["büro", "vip"])
    put = next(ask for ask in fake.asked if ask.method == "PUT")
    assert json.loads(put.content) == {"group": "2nd Level", "priority": "3 high", "state": "open"}
    assert fake.tags[2] == ["büro", "vip"]
    assert result.text == "Ticket 2 is now: 2nd Level, 3 high, open, büro vip"


async def test_only_tags_change_nothing_else(zammad: Zammad, fake: FakeZammad):
    await zammad.update("1", Change(tags=("a",)))
    assert fake.count("PUT", "tickets/1") == 0
    assert fake.tags[1] == ["a"]


async def test_an_unknown_queue_is_named(ctx: Any, fake: FakeZammad):
    failure = await refusal(update_ticket(ctx, "2", queue="Nowhere"))
    assert failure.message == (
        "Zammad could not update ticket 2: it answered 422 Unprocessable Entity: "
        "No lookup value found for 'group': \"Nowhere\"."
    )
    assert "names as the ticket system has them" in failure.hint


async def test_a_note_is_written_as_documented_and_once(ctx: Any, fake: FakeZammad):
    assert (await add_note(ctx, "1", "Geprüft ✓", subject="Prüfung")).value["added"]
    assert not (await add_note(ctx, "1", "Geprüft ✓", subject="Prüfung")).value["added"]
    (post,) = (ask for ask in fake.asked if ask.url.path == "/api/v1/ticket_articles")
    sent = json.loads(post.content)
    assert sent.pop("body").startswith("Geprüft ✓\n\n[dirigent:")
    assert sent == {
        "ticket_id": 1,
        "subject": "Prüfung",
        "content_type": "text/plain",
        "type": "note",
        "internal": True,
    }


async def test_a_note_whose_answer_was_lost_is_looked_for_and_not_sent_twice(zammad: Zammad, fake: FakeZammad):
    def lost(request: httpx.Request) -> httpx.Response:
        fake.answer(request, "ticket_articles")
        raise httpx.ReadTimeout("late")

    fake.before["POST", "ticket_articles"] = [lost]
    assert await zammad.add_note("1", "Note", marked("1", "Note", "x"), internal=True)
    assert fake.count("POST", "ticket_articles") == 1
    assert len(fake.articles[1]) == 2


@pytest.mark.parametrize("broken", [httpx.Response(502), httpx.Response(500), httpx.ReadTimeout("late")])
async def test_a_note_that_failed_unclearly_is_never_sent_again_by_itself(
    zammad: Zammad, fake: FakeZammad, broken: Any
):
    fake.before["POST", "ticket_articles"] = [broken]
    failure = await refusal(zammad.add_note("1", "Note", marked("1", "Note", "x"), internal=True))
    assert failure.unknown
    assert fake.count("POST", "ticket_articles") == 1


async def test_a_note_that_was_never_sent_is_sent_again(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    busy = httpx.Response(429, headers={"Retry-After": "2"})
    fake.before["POST", "ticket_articles"] = [httpx.ConnectError("refused"), busy]
    assert await zammad.add_note("1", "Note", marked("1", "Note", "x"), internal=True)
    assert len(fake.articles[1]) == 2
    assert waits[1] == 2.0


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_a_wrong_token_says_which_secret(ctx: Any, fake: FakeZammad):
    ctx.secrets["zammad_token"] = "wrong"
    failure = await refusal(get_ticket(ctx, "1"))
    assert "read ticket 1: it answered 401" in failure.message
    assert "zammad_token" in failure.hint
    assert fake.count("GET", "tickets/1") == 1


async def test_a_missing_ticket_is_named_and_not_asked_for_again(ctx: Any, fake: FakeZammad):
    failure = await refusal(get_ticket(ctx, "99"))
    assert "Couldn't find Ticket with 'id'=99" in failure.message
    assert failure.status == 404
    assert fake.count("GET", "tickets/99") == 1


@pytest.mark.parametrize("problem", [httpx.Response(503), httpx.Response(429), httpx.ReadError("gone")])
async def test_a_read_is_repeated_when_the_server_is_away(
    zammad: Zammad, fake: FakeZammad, waits: list[float], problem: Any
):
    fake.before["GET", "tickets/1"] = [problem, problem]
    assert (await zammad.get("1")).title == "Ticket 1"
    assert len(waits) == 2
    assert 0 < waits[0] < waits[1] < 2


async def test_a_server_that_stays_away_is_given_up(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    fake.before["GET", "tickets/1"] = [httpx.ConnectError("refused")] * 9
    failure = await refusal(zammad.get("1"))
    assert failure.message == "Zammad could not read ticket 1: it cannot be reached (ConnectError)."
    assert len(waits) == 3


async def test_a_failure_of_the_server_itself_is_not_hammered(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    fake.before["GET", "tickets/1"] = [httpx.Response(500, text="<h1>oops</h1>")]
    failure = await refusal(zammad.get("1"))
    assert failure.message == "Zammad could not read ticket 1: it answered 500 Internal Server Error."
    assert waits == []


async def test_retry_after_is_obeyed_in_seconds_and_as_a_date(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=29), usegmt=True)
    fake.before["GET", "tickets/1"] = [
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": date}),
        httpx.Response(429, headers={"Retry-After": "soon"}),
    ]
    await zammad.get("1")
    assert waits[0] == 7.0
    assert 2.5 < waits[1] <= 29
    assert 2 <= waits[2] <= 2.5


async def test_a_long_wait_is_said_instead_of_waited(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    fake.before["GET", "tickets/1"] = [httpx.Response(429, headers={"Retry-After": "3600"})]
    failure = await refusal(zammad.get("1"))
    assert "come back in 3600 seconds" in failure.message
    assert waits == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(200, text="<html>Zammad</html>"), "its answer is no JSON: '<html>Zammad</html>'"),
        (httpx.Response(200, content=b'{"id": \xff'), "its answer is no JSON"),
        (httpx.Response(200, text="[" * 100_000), "its answer is no JSON"),
        (httpx.Response(200, json=[1, 2]), "unknown shape"),
        (httpx.Response(302, headers={"Location": "https://evil.example/"}), "sends elsewhere (302)"),
        (httpx.Response(200, content=b" " * 20_000_001), "more than 20 MB"),
    ],
)
async def test_an_answer_that_is_none_is_described(zammad: Zammad, fake: FakeZammad, answer: Any, said: str):
    fake.before["GET", "tickets/1"] = [answer]
    assert said in (await refusal(zammad.get("1"))).message


@pytest.mark.parametrize("rows", [{"tickets": [1]}, [1], [{"title": "no id"}], None, "x"])
async def test_a_search_of_unknown_shape_is_described(zammad: Zammad, fake: FakeZammad, rows: Any):
    fake.before["GET", "tickets/search"] = [httpx.Response(200, json=rows)]
    assert "search tickets: its answer has an unknown shape" in (await refusal(all_of(zammad))).message


async def test_one_failing_ticket_ends_the_page_and_leaves_no_request_behind(zammad: Zammad, fake: FakeZammad):
    fake.before["GET", "ticket_articles/by_ticket/2"] = [httpx.Response(403, json={"error": "Not authorized"})]
    failure = await refusal(all_of(zammad))
    assert "articles of ticket 2: it answered 403 Forbidden: Not authorized" in failure.message
    assert "permissions" in failure.hint


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "address of the ticket system is not set"),
        ("zammad.example.org", "is no web address"),
        ("ftp://zammad.example.org", "is no web address"),
        ("https://", "is no web address"),
        ("https://x:99999999", "is no web address"),
        ("https://user:pass@zammad.example.org", "more than an address"),
        ("https://zammad.example.org/?token=1", "more than an address"),
    ],
)
async def test_a_wrong_address_is_said_before_anything_is_sent(ctx: Any, fake: FakeZammad, url: str, said: str):
    ctx.settings["url"] = url
    failure = await refusal(fetch_tickets(ctx))
    assert said in failure.message
    assert "pass" not in failure.message
    assert fake.asked == []


async def test_the_address_may_end_with_a_slash_or_the_interface(ctx: Any, fake: FakeZammad):
    for url in (f"{URL}/", f"{URL}/api/v1", f" {URL}/api/v1/ "):
        ctx.settings["url"] = url
        assert (await get_ticket(ctx, "1")).value["id"] == "1"


async def test_a_missing_token_is_said_by_its_name(ctx: Any, fake: FakeZammad):
    ctx.secrets.clear()
    with pytest.raises(ToolFailure, match="zammad_token"):
        await fetch_tickets(ctx)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "zammad_token"),
        (403, "permissions"),
        (404, "Check the number"),
        (409, "Someone else changed it"),
        (422, "names as the ticket system has them"),
        (500, "its log says more"),
    ],
)
async def test_each_refusal_is_named_with_a_way_on(zammad: Zammad, fake: FakeZammad, status: int, hint: str):
    fake.before["PUT", "tickets/1"] = [httpx.Response(status, json={"error_human": "so it is."})]
    failure = await refusal(zammad.update("1", Change(state="open")))
    assert failure.message.startswith(f"Zammad could not update ticket 1: it answered {status} ")
    assert failure.message.endswith(": so it is.")
    assert hint in failure.hint
    assert fake.count("PUT", "tickets/1") == 1


async def test_an_update_is_repeated_when_the_server_is_busy(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    fake.before["PUT", "tickets/1"] = [httpx.Response(503), httpx.ReadTimeout("late"), httpx.Response(429)]
    assert (await zammad.update("1", Change(state="open"))).state == "open"
    assert fake.count("PUT", "tickets/1") == 4
    assert len(waits) == 3


async def test_a_page_that_is_busy_is_waited_for_and_none_is_lost(zammad: Zammad, fake: FakeZammad, waits: list[float]):
    fake.__init__(PAGE + 3)  # type: ignore[misc]
    found = []
    async for page in zammad.fetch(Query(), 1_000):
        found += page
        fake.before["GET", "tickets/search"] = [httpx.Response(429, headers={"Retry-After": "3"})]
    assert [int(ticket.id) for ticket in found] == list(range(1, PAGE + 4))
    assert set(waits) == {3.0}
