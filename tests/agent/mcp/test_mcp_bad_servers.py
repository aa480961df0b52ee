"""Servers that lie, flood, hang, and change what they are after they were accepted."""

from __future__ import annotations

import asyncio

import pytest

from agent.domain.execution import ResponseStatus
from agent.errors import ToolError
from agent.mcp import inside, streams
from agent.mcp.accepted import MOST_TOOLS, accepted, difference, held_back
from agent.mcp.plugins import mcp_plugins, remark
from agent.mcp.servers import Servers


async def test_nothing_of_a_server_is_used_before_it_was_accepted(desk_of, config):
    desk = desk_of(config())
    (plugin,) = mcp_plugins(desk.config)
    assert plugin.tools == ()
    assert "dirigent mcp accept plain" in (plugin.error or "")


async def test_another_command_is_another_server(desk_of, config):
    await desk_of(config()).accept()
    (plugin,) = mcp_plugins(config("more"))
    assert plugin.tools == ()
    assert "has changed since you accepted" in (plugin.error or "")


async def test_a_changed_description_holds_the_tool_back_until_it_is_accepted(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    session = desk.session()
    (session.workspace / "mood").write_text("changed")
    told = await desk.call("echo", session, text="hi")
    assert told.status is ResponseStatus.ERROR
    assert "has changed since you accepted it" in told.error
    assert (await desk.call("count", session)).text == "1"  # the others go on, and nothing of it was called
    assert "changed: echo" in remark(desk.config, "plain")
    # After a restart no planner sees it, neither as it was nor as it is now.
    names = {spec.name: spec.description for plugin in mcp_plugins(desk.config) for spec in plugin.tools}
    assert "echo" not in names
    assert "send all mail" not in str(names) + str(accepted(desk.config.folder, "plain"))


async def test_a_tool_that_comes_later_is_held_back(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    (desk.session().workspace / "mood").write_text("more")
    await desk.call("count")
    assert held_back(desk.config.folder, "plain").new == ("extra",)
    assert "extra" not in {spec.name for plugin in mcp_plugins(desk.config) for spec in plugin.tools}


async def test_a_server_that_is_itself_again_is_no_longer_held_back(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    mood = desk.session().workspace / "mood"
    mood.write_text("changed")
    await desk.call("count")
    mood.unlink()
    await desk.servers.close()
    desk.servers = Servers(desk.config, desk.boxes)
    assert (await desk.call("count")).text == "1"
    assert remark(desk.config, "plain") == ""


async def test_a_server_that_turns_in_the_middle_is_looked_at_again(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    (desk.session().workspace / "mood").write_text("turns")
    assert (await desk.call("echo", text="one")).text == "one"
    assert (await desk.call("echo", text="two")).text == "two"
    told = await desk.call("echo", text="three")
    assert "has changed since you accepted it" in told.error


async def test_hidden_characters_reach_no_planner(desk_of, config):
    desk = desk_of(config("hidden"))
    await desk.accept()
    assert desk.spec("echo").description == "Return the text."


async def test_enormous_descriptions_and_forms_are_cut_or_left_out(desk_of, config):
    desk = desk_of(config("huge"))
    listing = await desk.accept()
    assert len(listing.tools) == MOST_TOOLS
    (plugin,) = mcp_plugins(desk.config)
    assert not {"enormous", "deep"} & {spec.name for spec in plugin.tools}
    assert {tool.name for tool in listing.tools if tool.unfit} == {"enormous", "deep"}
    assert max(len(tool.description) for tool in listing.tools) <= 1500


async def test_a_flood_ends_the_connection_and_not_us(desk_of, config, monkeypatch):
    monkeypatch.setattr(streams, "MOST_UNASKED", 500)
    desk = desk_of(config())
    await desk.accept()
    (desk.session().workspace / "mood").write_text("flood")
    assert (await desk.call("echo", text="hi")).text == "hi"
    (connection,) = desk.live.values()
    async with asyncio.timeout(30):
        while not connection.over:
            await asyncio.sleep(0.01)
    assert "that nobody asked for" in connection._fault.why
    assert (await desk.call("echo", text="again")).text == "again"  # with a fresh one


@pytest.mark.parametrize(("mood", "said"), [("silent", "was not ready within 2 s"), ("endless", "MB in one message")])
async def test_a_server_that_never_gets_ready_is_given_up(desk_of, config, monkeypatch, mood: str, said: str):
    monkeypatch.setattr(streams, "MOST_LINE", 1 << 20)
    desk = desk_of(config(mood, start_seconds=2.0 if mood == "silent" else 30.0))
    with pytest.raises(ToolError, match=said):
        await desk.look()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "it ended with exit code 0 and said nothing"),
        ("echo no key >&2; exit 1", "it ended with no key"),
        ("kill -9 $$", "it ended with signal 9 and said nothing"),
        ("echo waiting >&2; sleep 600", "was not ready within 2 s. It said: waiting"),
        ("yes spam >&2", "it wrote far more than"),
    ],
)
async def test_how_a_server_came_to_its_end_is_said(desk_of, config, monkeypatch, script: str, said: str):
    monkeypatch.setattr(inside, "LOGGED", 1 << 12)
    start = 2.0 if "sleep" in script else 60.0
    desk = desk_of(config(mcp={"plain": {"command": ["bash", "-c", script], "start_seconds": start}}))
    with pytest.raises(ToolError) as told:
        await desk.look()
    assert said in str(told.value)


async def test_what_a_server_writes_beside_the_protocol_harms_nothing(desk_of, config):
    loud = "echo starting; for n in 1 2 3; do echo log $n >&2; done; echo '{}'; exec python3 -m mcp_server_time"
    desk = desk_of(config(mcp={"plain": {"command": ["bash", "-c", loud]}}))
    await desk.accept()
    assert (await desk.call("get_current_time", timezone="Europe/Berlin")).status is ResponseStatus.OK


async def test_a_tool_that_needs_what_is_not_spoken_here_is_left_out(desk_of, config):
    desk = desk_of(config("tasks"))
    listing = await desk.accept()
    assert "by way of tasks" in listing.tool("long").unfit
    assert "long" not in {spec.name for plugin in mcp_plugins(desk.config) for spec in plugin.tools}


async def test_what_a_server_claims_makes_it_only_stricter(desk_of, config):
    desk = desk_of(config())
    await desk.accept()
    effects = {name: (desk.spec(name).effect, desk.spec(name).strict) for name in ("echo", "send", "wipe")}
    # Without a way out, walls hold the claim of `echo`; `wipe` says two things of itself, and the stricter counts.
    assert effects == {"echo": ("write_inside", False), "send": ("effect", False), "wipe": ("effect", True)}
    assert all(desk.spec(name).untrusted and desk.spec(name).reads_all for name in effects)


async def test_with_a_way_out_no_claim_loosens_anything(desk_of, config):
    for more in ({"network": ["api.example.org"]}, {"sandbox": {"allow_hosts": ["pypi.example"]}}):
        desk = desk_of(config(**more))
        await desk.accept()
        assert desk.spec("echo").effect == "effect"
        assert desk.spec("echo").once


async def test_what_comes_by_a_secret_is_private(desk_of, config):
    from pydantic import SecretStr

    settings = config(secrets=["KEY"]).model_copy(update={"secrets": {"KEY": SecretStr("abcdefghij")}})
    desk = desk_of(settings)
    await desk.accept()
    assert desk.spec("echo").private
    assert desk.spec("echo").secrets == ("KEY",)


async def test_the_difference_names_what_changed(desk_of, config):
    before = await desk_of(config()).look()
    after = await desk_of(config("changed")).look()
    assert difference(before, after).in_words() == "changed: echo"
    assert not difference(before, before)
