"""Calls of servers inside: real ones from their package, and one of our own."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace

import pytest
from pydantic import SecretStr

from agent.domain.execution import ResponseStatus
from agent.errors import ToolError
from agent.mcp.accepted import READ_RESOURCE
from agent.mcp.plugins import mcp_plugins
from agent.mcp.servers import Asked


async def test_the_time_server_says_what_time_it_is(tmp_path, desk_of, config):
    desk = desk_of(config(mcp={"clock": {"command": ["python3", "-m", "mcp_server_time"]}}))
    listing = await desk.accept("clock")
    assert [tool.name for tool in listing.tools] == ["get_current_time", "convert_time"]  # and no empty resources
    told = await desk.call(
        "convert_time", name="clock", source_timezone="Europe/Berlin", time="12:00", target_timezone="Asia/Tokyo"
    )
    assert told.status is ResponseStatus.OK
    assert told.output["target"]["timezone"] == "Asia/Tokyo"


async def test_the_git_server_works_on_the_sessions_files_alone(desk_of, config):
    desk = desk_of(config(mcp={"git": {"command": ["python3", "-m", "mcp_server_git"]}}))
    await desk.accept("git")
    mine, other = desk.session("test:1"), desk.session("test:2")
    for folder in (mine.workspace, other.workspace):
        subprocess.run(["git", "init", "-q", folder], check=True)
    (mine.workspace / "notes.txt").write_text("hello")
    told = await desk.call("git_status", mine, name="git", repo_path=".")
    assert "notes.txt" in told.text
    there = await desk.call("git_status", mine, name="git", repo_path=str(other.workspace))
    assert there.status is ResponseStatus.ERROR


async def test_a_server_lives_on_between_calls_and_each_session_has_its_own(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    first, second = desk.session("test:1"), desk.session("test:2")
    told = [(await desk.call("count", session)).text for session in (first, first, second, first)]
    assert told == ["1", "2", "1", "3"]
    assert set(desk.live) == {("plain", "test:1"), ("plain", "test:2")}


async def test_calls_at_the_same_time_start_one_server(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    told = await asyncio.gather(*(desk.call("count") for _ in range(5)))
    assert sorted(one.text for one in told) == ["1", "2", "3", "4", "5"]


async def test_a_server_that_ended_is_begun_anew(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    ended = await desk.call("die")
    assert ended.status is ResponseStatus.ERROR
    assert "this was meant" in ended.error
    assert "nobody knows whether that was done" in ended.error
    assert (await desk.call("count")).text == "1"


async def test_a_call_that_can_do_no_harm_twice_is_repeated_once(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    session = desk.session()
    spec = replace(desk.spec("die"), effect="write_inside")
    told = await desk.servers.call("mcp:plain", Asked(session, spec, {}, "s1", 60, desk.progress.append))
    assert told.status is ResponseStatus.ERROR
    assert "nobody knows" not in told.error
    assert all(one.over for one in desk.live.values())


async def test_what_never_answers_is_given_up_and_the_server_ended(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    told = await desk.call("slow", seconds=0.5)
    assert told.status is ResponseStatus.TIMEOUT
    assert "did not answer within 0.5 s" in told.error
    assert not desk.live


async def test_a_cancelled_call_leaves_the_server_usable(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    await desk.call("count")
    hanging = asyncio.create_task(desk.call("slow"))
    while not any(one.claims for one in desk.live.values()):
        await asyncio.sleep(0)
    hanging.cancel()
    assert isinstance((await asyncio.gather(hanging, return_exceptions=True))[0], asyncio.CancelledError)
    assert (await desk.call("echo", text="still there")).text == "still there"


async def test_progress_is_shown(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    assert (await desk.call("steps")).text == "all parts"
    assert next((one.text, one.done, one.total) for one in desk.progress) == ("part 1", 1, 3)
    assert len(desk.progress) >= 2


async def test_an_error_of_a_tool_is_a_failure_with_its_words(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    told = await desk.call("fail")
    assert (told.status, told.error) == (ResponseStatus.ERROR, "no paper left")


async def test_an_error_of_the_protocol_is_one_of_the_call_and_the_server_lives_on(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    told = await desk.call("refuse")  # with the code that the library has for a connection that is closed
    assert (told.status, told.error) == (ResponseStatus.ERROR, "plain answered with an error: no ink left")
    assert (await desk.call("count")).text == "2"


async def test_pictures_become_files_and_none_is_overwritten(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    first, second = await desk.call("picture"), await desk.call("picture")
    names = [file.path for told in (first, second) for file in told.files]
    assert names == ["plain-s1-1.png", "plain-s1-1-2.png"]
    assert (desk.session().workspace / names[0]).read_bytes()[:4] == b"\x89PNG"
    assert all(file.deliver for file in first.files)


async def test_files_that_a_server_writes_are_known(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    told = await desk.call("write", path="report.txt", text="done")
    assert [(file.path, file.created, file.size) for file in told.files] == [("report.txt", True, 4)]


async def test_a_secret_that_is_not_set_is_named(desk_of, config):
    desk = desk_of(config(secrets=["MAIL_KEY"]))
    with pytest.raises(ToolError, match="The secret MAIL_KEY is not set"):
        await desk.look()


async def test_a_server_inside_gets_its_secret_and_nothing_else_of_ours(desk_of, config, tmp_path, monkeypatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", "canary-token")
    settings = config(secrets=["MAIL_KEY"]).model_copy(update={"secrets": {"MAIL_KEY": SecretStr("s3cret")}})
    desk = desk_of(settings)
    (desk.config.folder / "secrets").mkdir(parents=True)
    token = desk.config.folder / "secrets" / "telegram_token"
    token.write_text("canary-token")
    await desk.accept()
    other = desk.session("test:2")
    (other.workspace / "private.txt").write_text("canary-other")
    for path in (token, other.workspace / "private.txt"):
        seen = (await desk.call("look_around", path=str(path))).output
        assert "canary" not in str(seen)
        assert "MAIL_KEY" in seen["environment"]
        assert not [name for name in seen["environment"] if name.startswith(("DIRIGENT", "OPENAI"))]


async def test_tools_that_the_owner_left_out_are_not_there(desk_of, config):
    desk = desk_of(config(tools=["echo", "send"], denied=["send"]))
    listing = await desk.accept()
    assert listing.tool(READ_RESOURCE) is None
    (plugin,) = mcp_plugins(desk.config)
    assert [spec.name for spec in plugin.tools] == ["echo"]


async def test_closing_leaves_no_server(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    await desk.call("count")
    await desk.servers.close()
    assert not desk.live


async def test_a_server_that_idles_is_ended_and_begun_again_when_it_is_needed(desk_of, config):
    desk = desk_of(config(idle_seconds=0.2))
    await desk.accept()
    await desk.call("count")
    async with asyncio.timeout(30):
        while desk.live:
            await asyncio.sleep(0.02)
    assert (await desk.call("count")).text == "1"
