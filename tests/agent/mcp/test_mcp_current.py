"""Servers that are added, changed, accepted and removed while a process runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import parts
from agent.app import build_app
from agent.catalogue import Catalogue
from agent.config import AppConfig, load_config
from agent.domain.execution import ResponseStatus
from agent.errors import ToolUnknown
from agent.mcp.accepted import accept, identity, place
from agent.mcp.plugins import mcp_plugins
from agent.mcp.servers import Asked

Told = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def tell(home: Path, config: Callable[..., AppConfig]) -> Told:
    """Write dirigent.toml with one server: the plain one, in a mood."""
    command = list(config("MOOD").mcp["plain"].command[:-1])

    def written(mood: str = "", *, more: str = "", **own: Any) -> None:
        told = {"command": [*command, *([mood] if mood else [])], **own}
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in told.items())
        fresh = home / "fresh.toml"
        fresh.write_text(f"[mcp.plain]\n{lines}\n{more}")
        fresh.replace(home / "dirigent.toml")

    return written


async def accept_now(home: Path, desk) -> None:
    """Accept what is configured now, as `dirigent mcp accept` does in a process of its own."""
    config = load_config(home=home)
    other = type(desk)(config, desk.boxes)
    accept(config.folder, "plain", await other.look())


async def test_a_server_that_is_added_and_accepted_is_called_without_a_restart(desk_of, home: Path, tell: Told):
    desk = desk_of(load_config(home=home))
    tell()
    await accept_now(home, desk)
    spec = next(spec for plugin in mcp_plugins(load_config(home=home)) for spec in plugin.tools if spec.name == "count")
    told = await desk.servers.call("mcp:plain", Asked(desk.session(), spec, {}, "s1", 60, desk.progress.append))
    assert told.text == "1"


async def test_a_server_that_is_removed_or_switched_off_is_called_no_more(desk_of, home: Path, tell: Told):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    assert (await desk.call("count")).text == "1"
    for change in (lambda: tell(enabled=False), lambda: (home / "dirigent.toml").write_text("")):
        change()
        told = await desk.call("count")
        assert (told.status, told.error) == (ResponseStatus.ERROR, "The MCP server plain is no longer in use.")


async def test_another_command_is_not_started_before_it_is_accepted(desk_of, home: Path, tell: Told):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    assert (await desk.call("count")).text == "1"
    asked = Asked(desk.session(), desk.spec("count"), {}, "s1", 60, lambda _: None)
    tell("more")
    told = await desk.servers.call("mcp:plain", asked)
    assert "another one than you have accepted" in told.error
    await accept_now(home, desk)
    assert (await desk.servers.call("mcp:plain", asked)).text == "1"  # of a new one: the old had counted on
    (live,) = desk.live.values()
    assert live.runs == identity(load_config(home=home).mcp["plain"])


async def test_what_was_decided_for_a_server_without_a_way_out_is_not_done_with_one(desk_of, home: Path, tell: Told):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    asked = Asked(desk.session(), desk.spec("count"), {}, "s1", 60, lambda _: None)
    tell(network=["api.example.org"])
    await accept_now(home, desk)
    told = await desk.servers.call("mcp:plain", asked)
    assert "was changed since this step was decided on" in told.error
    assert not desk.live


async def test_a_tool_that_is_accepted_as_it_is_now_is_held_back_no_longer(desk_of, home: Path, tell: Told):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    session = desk.session()
    (session.workspace / "mood").write_text("changed")
    assert "has changed since you accepted it" in (await desk.call("echo", session, text="hi")).error
    (connection,) = desk.live.values()
    held = desk.spec("count")
    accept(home, "plain", connection.listing)
    asked = Asked(session, replace(held, name="echo", function_name="echo"), {"text": "hi"}, "s1", 60, lambda _: None)
    assert (await desk.servers.call("mcp:plain", asked)).text == "hi"


async def test_a_server_that_is_older_than_what_was_accepted_is_begun_anew(desk_of, home: Path, tell: Told):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    assert [(await desk.call("count")).text for _ in "ab"] == ["1", "2"]
    (connection,) = desk.live.values()
    first, *rest = connection.listing.tools
    accept(home, "plain", replace(connection.listing, tools=tuple(rest), at=connection.listing.at + 1))
    assert (await desk.call("count")).text == "1"
    accept(home, "plain", replace(connection.listing, tools=(first, *rest), at=connection.listing.at))
    assert (await desk.call("count")).text == "2"  # one that is newer goes on


@pytest.mark.parametrize(
    ("own", "said"), [({"folders": ["/opt"]}, "not shown inside yet"), ({"secrets": ["KEY"]}, "not known yet")]
)
async def test_what_needs_a_restart_says_so(desk_of, home: Path, tell: Told, own: dict[str, Any], said: str):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    catalogue = parts.load_catalogue(desk.config)
    tell(**own)  # and what has changed before anybody keeps watch is noticed, too
    assert said in (await desk.call("count")).error
    async with kept(desk.config, catalogue):
        await until(lambda: said in (catalogue.plugin("plain").error or ""))


async def test_settings_with_a_mistake_change_nothing(desk_of, home: Path, tell: Told):
    tell()
    desk = desk_of(load_config(home=home))
    await desk.accept()
    (home / "dirigent.toml").write_text("[mcp.plain]\nurl = 7\n")
    assert (await desk.call("count")).text == "1"


# --- what planners see ----------------------------------------------------------------------------------------------
@contextlib.asynccontextmanager
async def kept(config: AppConfig, catalogue: Catalogue):
    keeper = asyncio.create_task(parts.keep_servers(config, catalogue))
    await asyncio.sleep(0)
    yield
    keeper.cancel()
    await asyncio.wait([keeper])


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


def has(catalogue: Catalogue, name: str) -> bool:
    with contextlib.suppress(ToolUnknown):
        return bool(catalogue.find(name))
    return False


async def test_planners_see_what_is_accepted_now_as_the_owner_wants_it(
    desk_of, home: Path, tell: Told, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parts, "SERVERS_SECONDS", 0.01)
    config = load_config(home=home)
    desk, catalogue = desk_of(config), parts.load_catalogue(config)
    before = catalogue.tools()
    async with kept(config, catalogue):
        tell(more='[tools."plain.send"]\nstrict = true\n')
        await until(
            lambda: "nobody has looked" in ([p.error for p in catalogue.plugins if p.name == "plain"] or [""])[0]
        )
        await accept_now(home, desk)
        await until(lambda: has(catalogue, "plain.send"))
        assert catalogue.find("plain.send").strict
        assert catalogue.set_by_owner["plain.send"].names == ("strict",)
        listing = json.loads(place(home, "plain").read_text())
        listing["tools"][0]["digest"] = "another"
        (home / "mcp" / "plain.seen.json").write_text(json.dumps(listing))
        await until(lambda: not has(catalogue, "plain.echo"))
        assert "changed: echo" in catalogue.remark("plain")
        (home / "dirigent.toml").write_text("")
        await until(lambda: not has(catalogue, "plain.send"))
    assert catalogue.tools() == before


async def test_what_runs_keeps_watch_from_its_start_to_its_end(home: Path, tell: Told, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parts, "SERVERS_SECONDS", 0.01)
    async with build_app(load_config(home=home)) as app:
        tell()
        await until(lambda: "plain" in {plugin.name for plugin in app.catalogue.plugins})
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "mcp servers"]
