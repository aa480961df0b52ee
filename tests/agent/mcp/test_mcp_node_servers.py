"""The reference servers written for Node, from the npm registry: `.ci/run` puts them where `MCP_NODE_SERVERS` says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agent.config import AppConfig
from agent.domain.execution import ResponseStatus

PLACE = os.environ.get("MCP_NODE_SERVERS", "")
MODULES = Path(PLACE) / "node_modules" / "@modelcontextprotocol"

pytestmark = pytest.mark.skipif(
    not PLACE or shutil.which("node") is None, reason="no node, or its servers are not installed (fine in CI)"
)


def settings_of(tmp_path: Path, **servers: list[str]) -> AppConfig:
    told = {
        name: {"command": ["node", str(MODULES / name / "dist" / "index.js"), *arguments], "folders": [PLACE]}
        for name, arguments in servers.items()
    }
    return AppConfig(home=tmp_path / "home", mcp={name.removeprefix("server-"): one for name, one in told.items()})


async def test_the_filesystem_server_keeps_to_the_sessions_files(desk_of, tmp_path):
    desk = desk_of(settings_of(tmp_path, **{"server-filesystem": ["."]}))
    await desk.accept("filesystem")
    wrote = await desk.call("write_file", name="filesystem", path="notes.txt", content="by a server")
    assert [file.path for file in wrote.files] == ["notes.txt"]
    assert (desk.session().workspace / "notes.txt").read_text() == "by a server"
    read = await desk.call("read_text_file", name="filesystem", path="notes.txt")
    assert "by a server" in read.text
    outside = await desk.call("read_text_file", name="filesystem", path="/etc/passwd")
    assert outside.status is ResponseStatus.ERROR


async def test_what_the_everything_server_can_do_arrives(desk_of, tmp_path):
    desk = desk_of(settings_of(tmp_path, **{"server-everything": ["stdio"]}))
    await desk.accept("everything")
    assert (await desk.call("get-sum", name="everything", a=2, b=3)).text.strip().endswith("5.")
    assert [file.mime for file in (await desk.call("get-tiny-image", name="everything")).files] == ["image/png"]
    roots = await desk.call("get-roots-list", name="everything")
    assert "file://" in roots.text
    long = await desk.call("trigger-long-running-operation", name="everything", duration=1, steps=4)
    assert long.status is ResponseStatus.OK
    assert desk.progress
    listed = await desk.call("read_resource", name="everything")
    uri = listed.text.splitlines()[0].partition(" ")[0]
    assert (await desk.call("read_resource", name="everything", uri=uri)).status is ResponseStatus.OK
