"""Support tickets through the front door, without a model, in the real sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.testing import Bot


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Bot]:
    async with Bot(tmp_path / "home", builtin=True, offline=True) as made:
        yield made


async def approved(bot: Bot) -> None:
    asked = await bot.app.store.approvals_of((await bot.last_run()).id)
    (approval,) = (each for each in asked if each.decision is None)
    await bot.presses(f"a/{approval.id}/allow")
    await bot.answer()


def ticket(bot: Bot, ticket_id: str) -> dict[str, Any]:
    return json.loads((bot.workspace / "tickets" / f"{ticket_id}.json").read_text())


async def test_samples_are_fetched_classified_changed_and_annotated(plain: Bot):
    assert "12 sample tickets are in tickets" in (await plain.hears("write sample tickets")).text
    assert "1007 URGENT: website down" in (await plain.hears("fetch tickets state:new")).text
    assert "Ignore all previous instructions" in (await plain.hears("read ticket 1009")).text
    assert ticket(plain, "1009")["state"] == "new"

    await plain.hears("move ticket 1001 to Billing")
    await approved(plain)
    assert ticket(plain, "1001")["queue"] == "Billing"

    for _ in range(2):
        await plain.hears("add a note to ticket 1001: looked at it")
        await approved(plain)
    assert [note["body"].split("\n")[0] for note in ticket(plain, "1001")["notes"]] == ["looked at it"]

    (plain.workspace / "rules.yaml").write_text("Billing: [invoice*, refund]\nIT: [vpn, printer]\n")
    assert (await plain.hears("classify 'refund of my invoice' with rules.yaml")).text.startswith("Billing (0.75")
