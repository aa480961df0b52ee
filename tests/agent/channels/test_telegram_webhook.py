"""Telegram calls us: the secret first, stored before it is answered, albums whole, and back to polling."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.channels.telegram.channel import TelegramChannel
from agent.errors import ConfigError

from .conftest import OWNER

URL = "https://bot.example.org/telegram"


@pytest.fixture
def called(rig):
    """A rig whose bot is called."""
    telegram = rig.config.telegram.model_copy(update={"webhook_url": URL})
    rig.config = rig.config.model_copy(update={"telegram": telegram})
    return rig


async def _bring(rig, channel) -> list[int]:
    """Do what Telegram does: call with everything that waits, at once; forget what was answered with 200."""
    _, secret = await rig.server.wait_for(lambda: rig.server.webhook)
    waiting, rig.server.updates[:] = list(rig.server.updates), []
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
    answers = await asyncio.gather(*(channel.webhook(headers, json.dumps(u).encode()) for u in waiting))
    rig.server.updates += [u for u, answer in zip(waiting, answers, strict=True) if answer != 200]
    return list(answers)


async def test_what_a_call_brings_is_heard_in_order_and_a_repeated_call_changes_nothing(called):
    async with called.up() as channel:
        for text in ("one", "two"):
            called.server.user_says(OWNER, text)
        twice = list(called.server.updates)
        assert await _bring(called, channel) == [200, 200]
        called.server.updates[:] = twice
        called.server.user_says(OWNER, "three")
        assert await _bring(called, channel) == [200, 200, 200]
        await called.hearer.until(lambda: len(called.hearer.heard) == 3)
        assert channel.last_poll_age() < 10
    assert called.hearer.texts == ["one", "two", "three"]
    assert called.server.called("getUpdates") == []
    assert called.server.webhook is None


@pytest.mark.parametrize("headers", [{}, {"X-Telegram-Bot-Api-Secret-Token": "guess"}])
async def test_without_the_secret_the_body_is_not_looked_at(called, headers):
    async with called.up() as channel:
        await called.server.wait_for(lambda: called.server.webhook)
        assert await channel.webhook(headers, b"{not even json") == 403
    assert called.hearer.heard == []


async def test_rubbish_with_the_secret_is_refused_and_an_unreadable_update_is_left_out(called):
    async with called.up() as channel:
        _, secret = await called.server.wait_for(lambda: called.server.webhook)
        headers = {"x-telegram-bot-api-secret-token": secret}
        assert await channel.webhook(headers, b"rubbish") == 400
        assert await channel.webhook(headers, b"[1]") == 400
        assert await channel.webhook(headers, b"{" + b" " * 1_000_001) == 413
        assert await channel.webhook(headers, b'{"update_id": 5, "message": {"message_id": "?", "chat": 5}}') == 200


async def test_what_could_not_be_stored_is_brought_again(called, monkeypatch):
    real, failures = called.store.receive_and_set, iter([True])

    async def flaky(*args):
        if next(failures, False):
            raise OSError("disk full")
        return await real(*args)

    monkeypatch.setattr(called.store, "receive_and_set", flaky)
    async with called.up() as channel:
        called.server.user_says(OWNER, "one")
        assert await _bring(called, channel) == [500]
        assert await _bring(called, channel) == [200]
        await called.hearer.until(lambda: called.hearer.texts == ["one"])


async def test_an_album_whose_parts_come_in_calls_of_their_own_is_one_message(called):
    async with called.up() as channel:
        for name in ("a", "b", "c"):
            called.server.user_sends_file(OWNER, f"{name}.txt", b"x", album="7", caption="all" if name == "a" else "")
        assert await _bring(called, channel) == [200, 200, 200]
        await called.hearer.until(lambda: called.hearer.heard)
    [album] = called.hearer.heard
    assert [file.name for file in album.attachments] == ["a.txt", "b.txt", "c.txt"]


async def test_nobody_receives_calls_while_polling_or_not_serving(rig):
    async with rig.up() as channel:
        await rig.server.wait_for(lambda: rig.server.called("getUpdates"))
        assert await channel.webhook({}, b"{}") == 503
    assert await channel.webhook({}, b"{}") == 503


async def test_polling_ends_a_webhook_that_was_left_behind(rig):
    rig.server.webhook = (URL, "old")
    async with rig.up():
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert rig.server.called("deleteWebhook")


async def test_an_address_that_telegram_refuses_is_named(called):
    called.server.fail("setWebhook", "error", code=400, description="Bad Request: bad webhook: port not allowed")
    channel = TelegramChannel(called.config, called.store, called.hearer, patience=0.02)
    try:
        with pytest.raises(ConfigError, match="port not allowed") as refused:
            await channel.serve()
    finally:
        await channel.close()
    assert "webhook_url" in refused.value.hint


async def test_a_network_that_is_away_is_waited_for(called):
    called.server.fail("setWebhook", "drop_before", times=2)
    async with called.up() as channel:
        called.server.user_says(OWNER, "one")
        assert await _bring(called, channel) == [200]
        await called.hearer.until(lambda: called.hearer.heard)


async def test_with_workers_several_processes_are_called_alike_and_one_that_ends_leaves_the_others_called(called):
    called.config = called.config.model_copy(update={"engine": "workers"})
    async with called.up() as first:
        _, secret = await called.server.wait_for(lambda: called.server.webhook)
        async with called.up() as second:
            called.server.user_says(OWNER, "to one")
            await called.server.wait_for(lambda: len(called.server.called("setWebhook")) == 2)
            assert await _bring(called, second) == [200]
            called.server.user_says(OWNER, "to the other")
            assert await _bring(called, first) == [200]
        assert called.server.webhook == (URL, secret)
    assert sorted(called.hearer.texts) == ["to one", "to the other"]
