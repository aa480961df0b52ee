"""The fake Bot API server is as strict as the real one."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path

import httpx
import pytest

from agent.testing.telegram_server import FakeTelegram
from agent.testing.telegram_world import TOKEN

USER = 5
GROUP = -100


@pytest.fixture
async def api(server):
    server.chat(USER)
    server.add_group(GROUP, topics=(7,))
    async with httpx.AsyncClient(base_url=f"{server.base_url}/bot{server.token}/", timeout=60) as client:
        yield client


async def call(api, method, **params):
    return (await api.post(method, json=params)).json()


async def refused(api, method, **params):
    body = await call(api, method, **params)
    assert body["ok"] is False
    return body["description"]


async def sent(api, text="x", **more):
    return (await call(api, "sendMessage", chat_id=USER, text=text, **more))["result"]["message_id"]


async def test_a_wrong_token_is_unauthorized(server, api):
    assert (await api.get(f"{server.base_url}/botwrong/getMe")).status_code == 401


async def test_an_unknown_method_is_not_found(api):
    assert (await api.post("sendTelepathy")).status_code == 404


async def test_get_me_names_the_bot(api):
    assert (await call(api, "getMe"))["result"]["username"] == "dirigent_bot"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"chat_id": USER, "text": " \n"}, "message text is empty"),
        ({"chat_id": USER, "text": "😀" * 2049}, "message is too long"),
        ({"chat_id": 6, "text": "x"}, "chat not found"),
        ({"chat_id": GROUP, "text": "x", "message_thread_id": 1}, "message thread not found"),
        ({"chat_id": GROUP, "text": "x", "message_thread_id": 8}, "message thread not found"),
        ({"chat_id": USER, "text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
        (
            {"chat_id": USER, "text": "ab", "entities": [{"type": "bold", "offset": 1, "length": 2}]},
            "ENTITY_BOUNDS_INVALID",
        ),
        ({"chat_id": USER, "text": "ab", "entities": [{"type": "huge", "offset": 0, "length": 1}]}, "can't parse"),
        (
            {"chat_id": USER, "text": "ab", "entities": [{"type": "bold", "offset": 0, "length": 1}] * 101},
            "ENTITIES_TOO_LONG",
        ),
        (
            {
                "chat_id": USER,
                "text": "x",
                "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "é" * 33}]]},
            },
            "BUTTON_DATA_INVALID",
        ),
        (
            {
                "chat_id": USER,
                "text": "x",
                "reply_markup": {"inline_keyboard": [[{"text": " ", "callback_data": "a"}]]},
            },
            "text",
        ),
    ],
)
async def test_send_message_refuses(api, server, params, said):
    assert said in await refused(api, "sendMessage", **params)
    assert server.messages(USER) == []


async def test_texts_up_to_the_limit_are_taken(api, server):
    await sent(api, "😀" * 2048)
    assert server.messages(USER)[0].text == "😀" * 2048


async def test_edits(api, server):
    number = await sent(api)
    assert "not modified" in await refused(api, "editMessageText", chat_id=USER, message_id=number, text="x")
    assert "to edit not found" in await refused(api, "editMessageText", chat_id=USER, message_id=999, text="x")
    assert (await call(api, "editMessageText", chat_id=USER, message_id=number, text="y"))["ok"]
    assert [(m.text, m.edits) for m in server.messages(USER)] == [("y", 1)]


async def test_a_persons_message_cannot_be_edited(api, server):
    number = server.user_says(USER, "mine")
    assert "to edit not found" in await refused(api, "editMessageText", chat_id=USER, message_id=number, text="x")


async def test_a_message_that_forced_a_reply_cannot_be_edited(api):
    number = await sent(api, reply_markup={"force_reply": True})
    assert "can't be edited" in await refused(api, "editMessageText", chat_id=USER, message_id=number, text="y")


async def test_a_text_may_become_a_document(api, server):
    number = await sent(api)
    media = json.dumps({"type": "document", "media": "attach://f"})
    form = {"chat_id": USER, "message_id": number, "media": media}
    assert (await api.post("editMessageMedia", data=form, files={"f": ("a.md", b"whole")})).json()["ok"]
    assert server.messages(USER)[0].files == (("a.md", b"whole"),)


@pytest.mark.parametrize(
    ("field", "data", "caption", "said"),
    [
        ("document", b"", "", "non-empty"),
        ("document", b"x", "y" * 1025, "caption is too long"),
        ("photo", b"no picture", "", "IMAGE_PROCESS_FAILED"),
        ("photo", b"\x89PNG" + b"0" * (10 * 1024 * 1024), "", "PHOTO_TOO_BIG"),
    ],
)
async def test_uploads_are_checked(api, field, data, caption, said):
    form = {"chat_id": USER, "caption": caption}
    answer = await api.post(f"send{field.title()}", data=form, files={field: ("name", data)})
    assert said in answer.json()["description"]


async def test_a_blocked_bot_is_forbidden(api, server):
    server.chat(USER).blocked = True
    assert "blocked" in await refused(api, "sendMessage", chat_id=USER, text="x")


async def test_chat_actions_are_checked_and_may_name_the_general_topic(api):
    assert (await call(api, "sendChatAction", chat_id=GROUP, action="typing", message_thread_id=1))["ok"]
    assert "action" in await refused(api, "sendChatAction", chat_id=USER, action="dancing")


async def test_menus_are_checked(api, server):
    commands = [{"command": "new", "description": "Begin"}]
    assert (await call(api, "setMyCommands", commands=commands))["ok"]
    assert server.commands == commands
    assert "INVALID" in await refused(api, "setMyCommands", commands=[{"command": "New!", "description": "x"}])
    assert "MUCH" in await refused(api, "setMyCommands", commands=commands * 101)


async def test_files_are_handed_out_up_to_twenty_megabytes(api, server):
    server.user_sends_file(USER, "a.txt", b"hello")
    server.user_sends_file(USER, "b.bin", b"x", claimed_size=21 * 1024 * 1024)
    ids = [u["message"]["document"]["file_id"] for u in server.updates]
    path = (await call(api, "getFile", file_id=ids[0]))["result"]["file_path"]
    assert (await api.get(f"{server.base_url}/file/bot{server.token}/{path}")).content == b"hello"
    assert (await api.get(f"{server.base_url}/file/botwrong/{path}")).status_code == 404
    assert "too big" in await refused(api, "getFile", file_id=ids[1])


async def test_a_press_can_be_answered_once(api, server):
    number = await sent(api, reply_markup={"inline_keyboard": [[{"text": "Go", "callback_data": "go"}]]})
    query = server.user_presses(USER, number, "Go")
    assert (await call(api, "answerCallbackQuery", callback_query_id=query, text="ok"))["ok"]
    assert server.queries[query] == "ok"
    assert "too old" in await refused(api, "answerCallbackQuery", callback_query_id=query)
    with pytest.raises(AssertionError, match="no button"):
        server.user_presses(USER, number, "Stay")


# --- updates ------------------------------------------------------------------------------------------------------------
async def test_an_update_comes_again_until_an_offset_confirms_it(api, server):
    server.user_says(USER, "one")
    first = (await call(api, "getUpdates"))["result"]
    assert (await call(api, "getUpdates"))["result"] == first
    assert (await call(api, "getUpdates", offset=first[-1]["update_id"] + 1))["result"] == []
    assert (await call(api, "getUpdates"))["result"] == []


async def test_a_long_poll_returns_with_the_update(api, server):
    polling = asyncio.create_task(call(api, "getUpdates", timeout=5))
    await server.wait_for(lambda: server.called("getUpdates"))
    server.user_says(USER, "one")
    assert (await polling)["result"][0]["message"]["text"] == "one"


async def test_a_second_poll_ends_the_first(api, server):
    polling = asyncio.create_task(call(api, "getUpdates", timeout=5))
    await server.wait_for(lambda: server.called("getUpdates"))
    assert (await call(api, "getUpdates", timeout=0))["ok"]
    assert (await polling)["error_code"] == 409


async def test_a_poller_that_left_is_no_conflict(api, server):
    polling = asyncio.create_task(call(api, "getUpdates", timeout=5))
    await server.wait_for(lambda: server.called("getUpdates"))
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    server.user_says(USER, "one")
    assert (await call(api, "getUpdates", timeout=1))["ok"]


# --- faults and floods --------------------------------------------------------------------------------------------------
async def test_flood_control_is_per_chat(api, server):
    server.flood_control = True
    server.flood.burst = 2
    answers = [await call(api, "sendMessage", chat_id=USER, text=str(n)) for n in range(4)]
    assert [a["ok"] for a in answers] == [True, True, False, False]
    assert answers[-1]["parameters"]["retry_after"] >= 1
    assert (await call(api, "sendMessage", chat_id=GROUP, text="x"))["ok"]


@pytest.mark.parametrize(("kind", "arrived"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_dropped_connection(api, server, kind, arrived):
    server.fail("sendMessage", kind)
    with pytest.raises(httpx.TransportError):
        await sent(api)
    assert len(server.messages(USER)) == arrived
    assert await sent(api, "next")


@pytest.mark.parametrize(("kind", "arrived"), [("error", 0), ("error_after", 1)])
async def test_a_server_error(api, server, kind, arrived):
    server.fail("sendMessage", kind, code=502, description="Bad Gateway")
    assert await refused(api, "sendMessage", chat_id=USER, text="x") == "Bad Gateway"
    assert len(server.messages(USER)) == arrived


async def test_waiting_in_vain_says_what_the_chats_show(api, server):
    await sent(api, "something")
    with pytest.raises(AssertionError, match="something"):
        await server.wait_for(lambda: False, 0.01)


# --- as a process -------------------------------------------------------------------------------------------------------
async def test_it_runs_as_a_process_with_a_control_api():
    args = [sys.executable, "-m", "agent.testing.telegram_server", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*args, cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE)
    try:
        told = json.loads(await process.stdout.readline())
        assert told["token"] == TOKEN
        async with httpx.AsyncClient(base_url=told["base_url"], timeout=60) as client:
            await drive(client)
    finally:
        process.terminate()
        await process.communicate()


async def drive(client):
    async def do(deed, **asked):
        return (await client.post(f"/control/{deed}", json=asked)).json()

    said = (await do("user_says", chat_id=USER, text="hi"))["result"]
    data = base64.b64encode(b"abc").decode()
    await do("user_sends_file", chat_id=USER, name="a.txt", data_base64=data)
    markup = {"inline_keyboard": [[{"text": "Go", "callback_data": "go"}]]}
    body = {"chat_id": USER, "text": "Hello there", "reply_markup": markup}
    await client.post(f"/bot{TOKEN}/sendMessage", json=body)
    shown = (await client.get("/control/wait", params={"chat": USER, "text": "Hello"})).json()["result"]
    await do("user_presses", chat_id=USER, message_id=shown["id"], button="Go")
    updates = (await client.post(f"/bot{TOKEN}/getUpdates")).json()["result"]
    assert [u.get("message", {}).get("message_id") for u in updates] == [said, said + 1, None]
    assert updates[2]["callback_query"]["data"] == "go"
    messages = (await client.get("/control/messages", params={"chat": USER})).json()["result"]
    assert [m["files"] for m in messages] == [[], [["a.txt", data]], []]
    assert (await client.get("/control/queries")).json()["result"] == {"1": None}
    calls = (await client.get("/control/calls", params={"method": "getUpdates"})).json()["result"]
    assert [c["outcome"] for c in calls] == ["ok"]
    assert "error" in await do("user_presses", chat_id=USER, message_id=shown["id"], button="Nowhere")
    assert "no such deed" in (await do("user_dreams"))["error"]
    await do("fail", method="sendMessage", kind="error", code=403, description="Forbidden: x")
    refused = await client.post(f"/bot{TOKEN}/sendMessage", json=body)
    assert refused.json()["description"] == "Forbidden: x"
    late = await client.get("/control/wait", params={"chat": USER, "text": "nothing", "seconds": "0.01"})
    assert late.status_code == 408


async def test_the_port_can_be_taken_again_after_a_stop():
    server = FakeTelegram()
    await server.start()
    port = server.port
    await server.stop()
    async with FakeTelegram(port=port) as again:
        assert again.port == port
