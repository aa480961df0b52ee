"""The OTOBO and Znuny adapter against the generic interface as its operations answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from plugins.api import ToolFailure
from plugins.tickets import add_note, fetch_tickets, get_ticket, update_ticket
from plugins.tickets.otobo import MAX_FOUND, PAGE, Login, Otobo, search_params
from plugins.tickets.records import Change, Query, TicketFailure, marked

URL = "https://otobo.example.org/otobo/nph-genericinterface.pl/Webservice/GenericTicketConnectorREST"
PASSWORD = "pässwörd & more"  # as people choose them


def error(code: str, message: str) -> httpx.Response:
    return httpx.Response(200, json={"Error": {"ErrorCode": code, "ErrorMessage": message}})


class FakeOtobo:
    """Answers as the shipped web service does; `before` holds answers that come first for (method, path)."""

    def __init__(self, tickets: int = 3) -> None:
        self.rows = {number: self.row(number) for number in range(1, tickets + 1)}
        self.asked: list[httpx.Request] = []
        self.before: dict[tuple[str, str], list[Any]] = {}
        self.sessions: list[str] = []
        self.field: Any = ""

    @staticmethod
    def row(number: int) -> dict[str, Any]:
        article = {
            "ArticleID": str(number * 10),
            "Subject": "Hilfe",
            "Body": f"Nachricht {number}: es geht nicht ü",
            "SenderType": "customer",
            "IsVisibleForCustomer": "1",
            "CreateTime": "2026-11-16 08:00:00",
        }
        return {
            "TicketID": str(number),
            "TicketNumber": f"20261116{number:08}",
            "Title": f"Titel {number}",
            "Queue": "Raw",
            "State": "new",
            "Priority": "3 normal",
            "CustomerUserID": "tc",
            "Created": "2026-11-16 08:00:00",
            "Changed": "2026-11-16 09:00:00",
            "Article": [article],
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path.partition("/GenericTicketConnectorREST/")[2]
        waiting = self.before.get((request.method, path), [])
        if waiting:
            first = waiting.pop(0)
            if isinstance(first, Exception):
                raise first
            return first(request) if callable(first) else first
        return self.answer(request, path)

    def answer(self, request: httpx.Request, path: str) -> httpx.Response:
        given: dict[str, Any] = json.loads(request.content) if request.content else dict(request.url.params)
        operation = {"POST": "SessionCreate", "PATCH": "TicketUpdate"}.get(request.method, "TicketGet")
        known = given.get("SessionID") in self.sessions or given.get("Password") == PASSWORD
        if not known:
            return error(f"{operation}.AuthFail", f"{operation}: Authorization failing!")
        if path == "Session":
            self.sessions.append(f"session-{len(self.sessions)}")
            return httpx.Response(200, json={"SessionID": self.sessions[-1]})
        if path == "Ticket":
            number = given.get("TicketNumber")
            found = [key for key, row in self.rows.items() if not number or row["TicketNumber"] == number]
            return httpx.Response(200, json={"TicketID": found[: int(given.get("Limit", 500))]} if found else {})
        ids = [int(each) for each in path.removeprefix("Ticket/").split(",")]
        if not all(each in self.rows for each in ids):
            return error(f"{operation}.AccessDenied", f"{operation}: User does not have access to the ticket!")
        return self.update(ids[0], given) if request.method == "PATCH" else self.read(ids)

    def read(self, ids: list[int]) -> httpx.Response:
        fields = [{"Name": "Tags", "Value": self.field}, {"Name": "Other", "Value": None}]
        return httpx.Response(200, json={"Ticket": [self.rows[each] | {"DynamicField": fields} for each in ids]})

    def update(self, number: int, given: dict[str, Any]) -> httpx.Response:
        changed = given.get("Ticket", {})
        if changed.get("Queue") == "Nowhere":
            return error("TicketUpdate.InvalidParameter", "TicketUpdate: Ticket->Queue parameter is invalid!")
        self.rows[number].update(changed)
        if "DynamicField" in given:
            self.field = given["DynamicField"]["Value"]
        if "Article" in given:
            self.rows[number]["Article"].append({"ArticleID": "99", **given["Article"]})
        return httpx.Response(200, json={"TicketID": str(number), "ArticleID": "99"})

    def count(self, method: str, path: str) -> int:
        return sum(ask.method == method and ask.url.path.endswith(f"REST/{path}") for ask in self.asked)


@pytest.fixture
def fake() -> Iterator[FakeOtobo]:
    server = FakeOtobo()
    with respx.mock(assert_all_called=False) as router:
        router.route(host="otobo.example.org").mock(side_effect=server)
        yield server


@pytest.fixture
def ctx(host_ctx: Any) -> Any:
    host_ctx.settings = {"system": "znuny", "url": URL, "otobo_tag_field": "Tags"}
    host_ctx.secrets = {"otobo_user": "agent", "otobo_password": PASSWORD}
    return host_ctx


@pytest.fixture
async def otobo():
    async def pause(seconds: float) -> None:
        assert seconds >= 0

    adapter = Otobo(URL, Login("agent", PASSWORD), tag_field="DynamicField_Tags", pause=pause)
    yield adapter
    await adapter.aclose()


async def all_of(otobo: Otobo, query: str = "", limit: int = 1_000) -> list[Any]:
    return [ticket async for page in otobo.fetch(Query.parse(query), limit) for ticket in page]


async def refusal(call: Any) -> TicketFailure:
    with pytest.raises(ToolFailure) as caught:
        await call
    said = f"{caught.value.message} {caught.value.hint}"
    assert PASSWORD not in said
    assert "session-" not in said
    assert isinstance(caught.value, TicketFailure)
    return caught.value


# --- reading --------------------------------------------------------------------------------------------------------


async def test_tickets_are_searched_then_read_with_one_login(ctx: Any, fake: FakeOtobo):
    result = await fetch_tickets(ctx, "state:new,open queue:Raw", limit=2, system="otobo")
    assert [ticket["id"] for ticket in result.value] == ["1", "2"]
    assert result.value[0]["body"] == "Nachricht 1: es geht nicht ü"
    assert (await get_ticket(ctx, "1")).value["notes"][0]["internal"] is False
    search = next(ask for ask in fake.asked if ask.url.path.endswith("/Ticket")).url.params
    assert search.get_list("States") == ["new", "open"]
    assert (search["SortBy"], search["OrderBy"], search["Limit"]) == ("Age", "Up", "2")
    assert fake.count("POST", "Session") == 1  # all calls share one client


async def test_the_password_travels_in_a_body_only(ctx: Any, fake: FakeOtobo):
    await fetch_tickets(ctx)
    await update_ticket(ctx, "1", state="open")
    logins = [ask for ask in fake.asked if b"Password" in ask.content]
    assert {ask.url.path.rpartition("/")[2] for ask in logins} == {"Session"}
    assert not any("Password" in str(ask.url) for ask in fake.asked)


async def test_pages_are_parts_of_what_was_found(otobo: Otobo, fake: FakeOtobo):
    fake.__init__(2 * PAGE + 5)  # type: ignore[misc]
    found = await all_of(otobo)
    assert [int(ticket.id) for ticket in found] == list(range(1, 2 * PAGE + 6))
    reads = [ask.url.path.rpartition("/")[2].count(",") + 1 for ask in fake.asked if "/Ticket/" in ask.url.path]
    assert reads == [PAGE, PAGE, 5]


async def test_nothing_found_is_no_error(otobo: Otobo, fake: FakeOtobo):
    fake.rows.clear()
    assert await all_of(otobo) == []


async def test_a_ticket_that_vanished_meanwhile_does_not_hide_the_others(otobo: Otobo, fake: FakeOtobo):
    fake.before["GET", "Ticket"] = [httpx.Response(200, json={"TicketID": ["1", "77", "2"]})]
    assert [ticket.id for ticket in await all_of(otobo)] == ["1", "2"]


async def test_words_and_tags_are_confirmed_in_what_was_read(otobo: Otobo, fake: FakeOtobo):
    fake.rows[2]["Article"].append({"ArticleID": "21", "Body": "Drucker kaputt", "SenderType": "customer"})
    fake.field = "vip, büro"
    assert [ticket.id for ticket in await all_of(otobo, "drucker nachricht tag:Büro")] == ["2"]
    assert await all_of(otobo, "tag:other") == []


def test_a_search_says_what_the_interface_can_find():
    params = search_params(Query.parse('queue:a state:new priority:"3 normal" tag:x hi 50%*off'), 10)
    assert params[:3] == [("Queues", "a"), ("States", "new"), ("Priorities", "3 normal")]
    assert ("MIMEBase_Body", "%50off%") in params
    assert params[-1] == ("Limit", str(MAX_FOUND))


async def test_a_bare_value_is_read_as_a_list_of_one(otobo: Otobo, fake: FakeOtobo):
    fake.before["GET", "Ticket"] = [httpx.Response(200, json={"TicketID": 1})]
    row = fake.row(1) | {"Article": fake.row(1)["Article"][0]}
    fake.before["GET", "Ticket/1"] = [httpx.Response(200, json={"Ticket": row})]
    (ticket,) = await all_of(otobo)
    assert ticket.body == "Nachricht 1: es geht nicht ü"


async def test_a_number_leads_to_its_ticket(ctx: Any, fake: FakeOtobo):
    assert (await get_ticket(ctx, "#2026111600000002")).value["id"] == "2"
    assert "no ticket with the number 12" in (await refusal(get_ticket(ctx, "#12"))).message


@pytest.mark.parametrize("ticket_id", ["1,2", "../Session", "1?x", "", "#1;2"])
async def test_an_id_is_one_ticket_and_no_way_elsewhere(otobo: Otobo, fake: FakeOtobo, ticket_id: str):
    assert "no ticket id" in (await refusal(otobo.get(ticket_id))).message
    assert fake.asked == []


# --- changing -------------------------------------------------------------------------------------------------------


async def test_an_update_goes_by_name_and_tags_into_the_dynamic_field(ctx: Any, fake: FakeOtobo):
    fake.field = "alt"
    result = await update_ticket(ctx, "2", queue="Büro", priority="5 very high", state="open", tags=["neu", "ALT"])
    (patch,) = (ask for ask in fake.asked if ask.method == "PATCH")
    sent = json.loads(patch.content)
    assert sent["TicketID"] == "2"
    assert sent["Ticket"] == {"Queue": "Büro", "Priority": "5 very high", "State": "open"}
    assert sent["DynamicField"] == {"Name": "Tags", "Value": "alt, neu"}
    assert result.value["tags"] == ["alt", "neu"]


async def test_tags_in_a_list_stay_a_list(otobo: Otobo, fake: FakeOtobo):
    fake.field = ["a"]
    assert (await otobo.update("1", Change(tags=("b",)))).tags == ("a", "b")
    assert fake.field == ["a", "b"]


async def test_tags_without_a_field_for_them_are_refused_with_the_setting(ctx: Any, fake: FakeOtobo):
    del ctx.settings["otobo_tag_field"]
    failure = await refusal(update_ticket(ctx, "2", tags=["x"]))
    assert "no tags of its own" in failure.message
    assert "otobo_tag_field" in failure.hint
    assert fake.count("PATCH", "Ticket/2") == 0


async def test_a_note_is_an_internal_article_and_written_once(ctx: Any, fake: FakeOtobo):
    assert (await add_note(ctx, "1", "Geprüft ✓")).value["added"]
    assert not (await add_note(ctx, "#2026111600000001", "Geprüft ✓")).value["added"]
    (patch,) = (ask for ask in fake.asked if ask.method == "PATCH")
    article = json.loads(patch.content)["Article"]
    assert article["Body"].startswith("Geprüft ✓\n\n[dirigent:")
    assert (article["IsVisibleForCustomer"], article["CommunicationChannel"]) == (0, "Internal")
    assert article["ContentType"] == "text/plain; charset=utf-8"


async def test_a_note_for_the_customer_is_visible(ctx: Any, fake: FakeOtobo):
    await add_note(ctx, "1", "Hello", internal=False)
    assert fake.rows[1]["Article"][-1]["IsVisibleForCustomer"] == 1


async def test_a_note_whose_answer_was_lost_is_looked_for_and_not_sent_twice(otobo: Otobo, fake: FakeOtobo):
    def lost(request: httpx.Request) -> httpx.Response:
        fake.answer(request, "Ticket/1")
        raise httpx.ReadTimeout("late")

    fake.before["PATCH", "Ticket/1"] = [lost]
    assert await otobo.add_note("1", "Note", marked("1", "Note", "x"), internal=True)
    assert fake.count("PATCH", "Ticket/1") == 1
    assert len(fake.rows[1]["Article"]) == 2


async def test_a_note_that_failed_unclearly_is_not_repeated(otobo: Otobo, fake: FakeOtobo):
    fake.before["PATCH", "Ticket/1"] = [httpx.Response(504)]
    failure = await refusal(otobo.add_note("1", "Note", marked("1", "Note", "x"), internal=True))
    assert failure.unknown
    assert fake.count("PATCH", "Ticket/1") == 1


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_an_error_within_200_is_an_error(ctx: Any, fake: FakeOtobo):
    failure = await refusal(update_ticket(ctx, "1", queue="Nowhere"))
    assert failure.message == (
        "OTOBO could not update ticket 1: TicketUpdate: Ticket->Queue parameter is invalid "
        "(TicketUpdate.InvalidParameter)."
    )
    assert "names as the ticket system has them" in failure.hint


async def test_a_ticket_out_of_reach_says_what_that_can_mean(ctx: Any, fake: FakeOtobo):
    failure = await refusal(get_ticket(ctx, "77"))
    assert failure.code == "TicketGet.AccessDenied"
    assert "may not see or change this ticket, or it does not exist" in failure.hint


async def test_a_wrong_password_says_which_secrets(ctx: Any, fake: FakeOtobo):
    ctx.secrets["otobo_password"] = "wrong"
    failure = await refusal(fetch_tickets(ctx))
    assert "could not log in" in failure.message
    assert "otobo_user and otobo_password" in failure.hint
    assert len(fake.asked) == 1


async def test_a_session_that_ended_is_renewed_once(otobo: Otobo, fake: FakeOtobo):
    await otobo.get("1")
    fake.sessions[:] = ["someone-elses"]
    assert (await otobo.get("1")).id == "1"
    assert fake.count("POST", "Session") == 2
    fake.before["GET", "Ticket/1"] = [error("TicketGet.AuthFail", "TicketGet: Authorization failing!")] * 5
    assert (await refusal(otobo.get("1"))).code == "TicketGet.AuthFail"
    assert fake.count("POST", "Session") == 3


async def test_a_web_service_without_sessions_takes_the_password_each_time(ctx: Any, fake: FakeOtobo):
    ctx.settings["otobo_login"] = "password"
    assert (await get_ticket(ctx, "1")).value["id"] == "1"
    await update_ticket(ctx, "1", state="open")
    assert fake.count("POST", "Session") == 0
    assert fake.rows[1]["State"] == "open"


async def test_a_web_service_that_gives_no_session_names_the_setting(otobo: Otobo, fake: FakeOtobo):
    fake.before["POST", "Session"] = [httpx.Response(200, json={})]
    assert 'otobo_login = "password"' in (await refusal(otobo.get("1"))).hint


async def test_an_unknown_login_is_refused(ctx: Any, fake: FakeOtobo):
    ctx.settings["otobo_login"] = "oauth"
    failure = await refusal(get_ticket(ctx, "1"))
    assert "otobo_login of [plugins.tickets] is 'oauth'" in failure.message
    assert fake.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(404, text="<html>"), "answered 404"),
        (
            httpx.Response(500, json={"faultcode": "Server", "faultstring": "Error while determine Operation"}),
            "Error while determine Operation",
        ),
        (httpx.Response(200, text="Software error:"), "its answer is no JSON: 'Software error:'"),
        (httpx.Response(200, json=["x"]), "unknown shape"),
        (httpx.Response(200, json={"Ticket": []}), "it sent no ticket"),
        (httpx.Response(200, json={"Error": {}}), "(Error)"),
        (httpx.Response(200, text=""), "it sent no ticket"),
    ],
)
async def test_an_answer_that_is_none_is_described(otobo: Otobo, fake: FakeOtobo, answer: Any, said: str):
    fake.before["GET", "Ticket/1"] = [answer]
    assert said in (await refusal(otobo.get("1"))).message


async def test_a_read_is_repeated_when_the_server_is_busy(otobo: Otobo, fake: FakeOtobo):
    fake.before["GET", "Ticket/1"] = [httpx.Response(503), httpx.Response(429, headers={"Retry-After": "1"})]
    assert (await otobo.get("1")).id == "1"
    assert fake.count("GET", "Ticket/1") == 3


async def test_a_server_that_stays_away_is_given_up(otobo: Otobo, fake: FakeOtobo):
    fake.before["GET", "Ticket/1"] = [httpx.ConnectError("refused")] * 9
    failure = await refusal(otobo.get("1"))
    assert failure.message == "OTOBO could not read ticket 1: it cannot be reached (ConnectError)."
    assert fake.count("GET", "Ticket/1") == 4


async def test_an_update_is_repeated_when_the_server_is_busy(otobo: Otobo, fake: FakeOtobo):
    fake.before["PATCH", "Ticket/1"] = [httpx.Response(502), httpx.ReadTimeout("late")]
    assert (await otobo.update("1", Change(state="open"))).state == "open"
    assert fake.count("PATCH", "Ticket/1") == 3


async def test_a_note_that_was_never_taken_is_sent_again(otobo: Otobo, fake: FakeOtobo):
    fake.before["PATCH", "Ticket/1"] = [httpx.Response(429, headers={"Retry-After": "0"})]
    assert await otobo.add_note("1", "Note", marked("1", "Note", "x"), internal=True)
    assert len(fake.rows[1]["Article"]) == 2


async def test_a_long_wait_is_said_instead_of_waited(otobo: Otobo, fake: FakeOtobo):
    fake.before["GET", "Ticket"] = [httpx.Response(503, headers={"Retry-After": "3600"})]
    assert "come back in 3600 seconds" in (await refusal(all_of(otobo))).message


async def test_a_session_that_ends_between_pages_is_renewed_and_nothing_is_lost(otobo: Otobo, fake: FakeOtobo):
    fake.__init__(2 * PAGE + 1)  # type: ignore[misc]
    found = []
    async for page in otobo.fetch(Query(), 1_000):
        found += page
        fake.sessions[:] = [f"of-somebody-else-{len(found)}"]
    assert [int(ticket.id) for ticket in found] == list(range(1, 2 * PAGE + 2))
    assert fake.count("POST", "Session") == 3


async def test_calls_at_once_open_one_session(otobo: Otobo, fake: FakeOtobo):
    await asyncio.gather(*(otobo.get(str(number)) for number in (1, 2, 3)))
    assert fake.count("POST", "Session") == 1


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("TicketUpdate.MissingParameter", "demands more than it does as shipped"),
        ("TicketUpdate.InvalidConfiguration", "not set up right"),
        ("TicketUpdate.AccessDenied", "may not see or change"),
        ("TicketUpdate.Strange", "debugger"),
    ],
)
async def test_each_error_code_leads_to_a_way_on(otobo: Otobo, fake: FakeOtobo, code: str, hint: str):
    fake.before["PATCH", "Ticket/1"] = [error(code, "TicketUpdate: so it is!")]
    failure = await refusal(otobo.update("1", Change(state="open")))
    assert (failure.code, hint in failure.hint) == (code, True)
    assert failure.message == f"OTOBO could not update ticket 1: TicketUpdate: so it is ({code})."
