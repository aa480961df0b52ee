"""`dirigent doctor` and `init` try the real thing: a Telegram server and a model server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.app import first_checks
from agent.cli import checks
from agent.cli.checks import Finding
from agent.config import load_config
from agent.testing.openai_server import FakeOpenAI
from sandbox import boxes
from sandbox.api import Policy, Rung

TOKEN = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"


@contextlib.asynccontextmanager
async def telegram(*, seconds_off: float = 0.0) -> AsyncIterator[str]:
    """Answer getMe for the token."""
    import time

    async def get_me(request: web.Request) -> web.Response:
        dated = {"Date": formatdate(time.time() - seconds_off, usegmt=True)}
        if request.match_info["token"] != TOKEN:
            return web.json_response({"ok": False, "description": "Unauthorized"}, status=401, headers=dated)
        me = {"id": 1, "username": "my_bot", "can_read_all_group_messages": False}
        return web.json_response({"ok": True, "result": me}, headers=dated)

    app = web.Application()
    app.router.add_get("/bot{token}/getMe", get_me)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


async def test_a_good_token_tells_the_bots_name(home: Path):
    async with telegram() as url:
        config = load_config(telegram_token=TOKEN, telegram_base_url=url, owners=[4])
        found = by_name(await checks.check_telegram(config))
    assert found["telegram"].state == "ok"
    assert "@my_bot" in found["telegram"].text
    assert found["clock"].state == "ok"
    assert "owners" not in found


async def test_a_refused_token_is_a_failure_that_does_not_show_it(home: Path):
    wrong = TOKEN.replace("AAE", "AAF")
    async with telegram() as url:
        (found,) = await checks.check_telegram(load_config(telegram_token=wrong, telegram_base_url=url))
    assert found.state == "fail"
    assert "Unauthorized" in found.text
    assert "@BotFather" in found.remedy
    assert wrong not in "".join(found.lines)


async def test_a_telegram_that_cannot_be_reached_is_named_without_the_token(home: Path):
    config = load_config(telegram_token=TOKEN, telegram_base_url="http://127.0.0.1:9")
    (found,) = await checks.check_telegram(config)
    assert found.state == "fail"
    assert "http://127.0.0.1:9" in found.text
    assert TOKEN not in "".join(found.lines)


async def test_a_wrong_clock_and_missing_owners_are_warnings(home: Path):
    async with telegram(seconds_off=600) as url:
        found = by_name(await checks.check_telegram(load_config(telegram_token=TOKEN, telegram_base_url=url)))
    assert (found["clock"].state, found["owners"].state) == ("warn", "warn")
    assert "s ahead of Telegram" in found["clock"].text


async def test_the_model_is_really_called(home: Path):
    async with FakeOpenAI(["ready"]) as server:
        found = await checks.check_model(load_config(openai_base_url=server.base_url))
        assert len(server.requests) >= 1
    assert found.state == "ok"
    assert "It answered in" in found.text


async def test_a_model_that_fails_is_a_failure(home: Path):
    async with FakeOpenAI(["ready"], api_key="right") as server:
        config = load_config(openai_base_url=server.base_url, openai_api_key="wrong-key", model="fake-model")
        found = await checks.check_model(config)
    assert found.state == "fail"
    assert "wrong-key" not in "".join(found.lines)


def test_a_home_that_others_can_read_is_a_warning_with_the_command(home: Path):
    config = load_config()
    (home / "dirigent.toml").write_text("")
    (home / "dirigent.toml").chmod(0o644)  # nobody else comes to it, and in a container it can't be changed
    assert checks.check_home(config).state == "ok"
    home.chmod(0o755)
    found = checks.check_home(config)
    assert (found.state, found.remedy) == ("warn", f"chmod go-rwx {home}")


@pytest.mark.parametrize(("free_mb", "state"), [(5000, "ok"), (500, "warn"), (50, "fail")])
def test_little_disk_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, state: str):
    class Usage:
        free = free_mb * 2**20

    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: Usage)
    assert checks.check_disk(load_config()).state == state


def test_how_files_of_sessions_are_opened_is_told(monkeypatch: pytest.MonkeyPatch):
    from sandbox import workspace

    monkeypatch.setattr(workspace, "_has_openat2", lambda: True)
    assert checks.check_files().state == "ok"
    monkeypatch.setattr(workspace, "_has_openat2", lambda: False)
    found = checks.check_files()
    assert (found.state, "5.6" in found.remedy) == ("warn", True)


@pytest.mark.parametrize(
    ("rung", "state"),
    [
        (Rung("A", "full"), "ok"),
        (Rung("A-", "no control group", "Delegate it."), "warn"),
        (Rung("B", "a sidecar, within it bubblewrap"), "ok"),
        (Rung("B", "a sidecar, within it Landlock", "Let it have namespaces."), "warn"),
        (Rung("C", "Landlock", "apt-get install bubblewrap"), "warn"),
        (Rung("E", "nothing", "apt-get install bubblewrap"), "fail"),
    ],
)
async def test_the_rung_is_named_with_its_remedy(home: Path, monkeypatch: pytest.MonkeyPatch, rung: Rung, state: str):
    async def found(_policy: Policy) -> Rung:
        return rung

    monkeypatch.setattr(boxes, "rung_of", found)
    told = await checks.check_sandbox(load_config())
    assert (told.state, told.remedy) == (state, rung.remedy)
    assert told.text.startswith(f"{rung.name}: {rung.stance}")


async def test_a_sidecar_that_does_not_answer_is_a_failure_with_the_command(home: Path, tmp_path: Path):
    told = await checks.check_sandbox(load_config(sandbox={"sidecar": tmp_path / "no.sock"}))
    assert told.state == "fail"
    assert "python -m sandbox.sidecar --socket" in told.remedy


async def test_a_sidecar_that_does_not_answer_keeps_nobody_from_the_greeting(home: Path, tmp_path: Path):
    found = await first_checks(load_config(sandbox={"sidecar": tmp_path / "no.sock"}), None)
    assert (found.model, found.sandbox) == ("none", "✗")
    assert "python -m sandbox.sidecar --socket" in found.remedy


def test_a_clock_before_what_was_written_here_is_a_warning(home: Path, monkeypatch: pytest.MonkeyPatch):
    assert checks.check_time(load_config(home=home)).state == "ok"
    monkeypatch.setattr(checks.time, "time", lambda: 946_684_800.0)
    found = checks.check_time(load_config(home=home))
    assert found.state == "warn"
    assert "timedatectl" in found.remedy


async def test_a_check_that_breaks_is_a_finding_with_a_reference(home: Path):
    from agent.cli.doctor import _checked

    def broken() -> Finding:
        raise RuntimeError("secret detail")

    (found,) = await _checked("disk", broken)
    assert found.state == "fail"
    assert "RuntimeError, E-" in found.text
    assert "secret detail" not in found.text


def test_doctor_checks_everything_and_is_json_for_programs(dirigent, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    code, out, _ = dirigent("doctor", "--json")
    found: dict[str, Any] = {finding["name"]: finding for finding in json.loads(out)}
    assert {"python", "home", "disk", "time", "journal", "sandbox", "plugins", "model", "telegram"} <= found.keys()
    assert code == int(any(finding["state"] == "fail" for finding in found.values()))


def test_doctor_fails_when_something_does_not_work(dirigent, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", TOKEN)
    monkeypatch.setenv("DIRIGENT_TELEGRAM_BASE_URL", "http://127.0.0.1:9")
    code, out, _ = dirigent("doctor")
    assert code == 1
    assert "✗ telegram" in out
    assert "→ Is there a network" in out


async def test_init_tries_what_it_wrote(dirigent, home: Path, monkeypatch: pytest.MonkeyPatch):
    async with telegram() as url, FakeOpenAI(["ready"]) as server:
        monkeypatch.setenv("DIRIGENT_TELEGRAM_BASE_URL", url)
        words = ("init", "--no-input", "--token", TOKEN, "--owner", "4", "--base-url", server.base_url)
        code, out, _ = await asyncio.to_thread(dirigent, *words)
    assert code == 0
    assert "✓ telegram" in out
    assert "✓ model" in out
    assert "`dirigent serve` starts the bot" in out


def test_serve_without_a_token_says_how_to_come_by_one(dirigent):
    code, _, err = dirigent("serve")
    assert code == 1
    assert "telegram_token is not set" in err
    assert "dirigent init" in err
