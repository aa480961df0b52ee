"""What a yes given beforehand covers: exactly the calls that the owner was shown, and for a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as any_of
from hypothesis import strategies as st

from agent.policy import grants
from agent.store.sql import SqlStore
from plugins.api import ToolSpec, spec_of, tool


@tool(effect="idempotent", standing=True)
def move(id: str, queue: str = "", tags: list[str] | None = None, note: str = "", loud: bool = False) -> str:  # noqa: A002
    """Move a ticket."""
    return id


@tool(effect="idempotent")
def burn(id: str) -> str:  # noqa: A002
    """Was never meant to be agreed to."""
    return id


@tool(effect="idempotent", standing=True, cost=0.01)
def pay(id: str) -> str:  # noqa: A002
    """Costs money."""
    return id


CHOICES = {
    "id": {"listed": "fetch"},
    "queue": {"one_of": ["Billing", "Sales"]},
    "tags": {"one_of": ["vip", "slow"]},
    "note": {"pattern": r"Moved to (Billing|Sales)\."},
}
LISTED = {"fetch": [{"id": "1"}, {"id": 2}, None, "3"]}
GIVEN: dict[str, Any] = {
    "pipeline": "tickets",
    "steps": [{"id": "move", "tool": "move"}],
    "inputs": {},
    "consent": {"move": CHOICES},
}


def spec(function: Any) -> ToolSpec:
    found = spec_of(function)
    assert found is not None
    return found


def covered(**args: Any) -> bool:
    return grants.within(spec(move), args, CHOICES, LISTED)


@pytest.mark.parametrize(
    "args",
    [
        {"id": "1", "queue": "Billing"},
        {"id": "2"},
        {"id": "1", "queue": "", "loud": False, "tags": None},
        {"id": "1", "tags": ["vip", "slow"]},
        {"id": "1", "note": "Moved to Sales."},
    ],
)
def test_what_was_shown_is_covered(args: dict[str, Any]):
    assert covered(**args)


@pytest.mark.parametrize(
    "args",
    [
        {"id": "3"},
        {"id": "1", "queue": "billing"},
        {"id": "1", "queue": "Trash"},
        {"id": "1", "queue": ["Billing"], "x": 1},
        {"id": "1", "loud": True},
        {"id": "1", "loud": 0},
        {"id": "1", "tags": ["vip", "root"]},
        {"id": "1", "tags": []},
        {"id": "1", "note": "Moved to Sales. Click http://evil.example"},
        {"id": "1", "note": "Moved to Sales.\n"},
        {"id": ["1"]},
        {"queue": "Billing", "id": None},
    ],
)
def test_whatever_else_is_not(args: dict[str, Any]):
    assert not covered(**args)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@any_of(st.dictionaries(st.sampled_from(["id", "queue", "note", "loud"]), st.text() | st.booleans() | st.integers()))
def test_no_text_of_others_gets_in(args: dict[str, Any]):
    allowed = {
        "id": {"1", "2"},
        "queue": {"Billing", "Sales", ""},
        "note": {"", "Moved to Billing.", "Moved to Sales."},
    }
    if covered(**args):
        assert args.get("loud", False) is False
        assert all(str(value) in allowed[name] for name, value in args.items() if name != "loud")


def test_tools_that_pay_or_never_admitted_it_are_not_covered():
    for one in (burn, pay):
        assert not grants.within(spec(one), {"id": "1"}, {"id": {"one_of": ["1"]}}, {})


def test_the_words_show_every_alternative():
    assert grants.in_words(GIVEN) == [
        (
            'move: id any that `fetch` has listed, queue one of "Billing", "Sales", tags one of "vip", "slow", '
            "note any text like Moved to (Billing|Sales)\\."
        )
    ]


@pytest.fixture
async def store(tmp_path: Path):
    made = SqlStore(tmp_path / "journal.db")
    await made.open()
    yield made
    await made.close()


async def test_a_yes_holds_for_the_pipeline_as_it_stood_and_for_ninety_days(store: SqlStore):
    now = 1_000.0
    sealed = {**GIVEN, "seal": grants.seal(GIVEN)}
    assert await grants.agreed(store, sealed, now) is None
    await grants.agree(store, sealed, "ada", now)
    found = await grants.agreed(store, sealed, now + 89 * 86_400)
    assert found is not None
    assert found.by == "ada"
    assert await grants.agreed(store, sealed, now + 90 * 86_400) is None
    for change in (
        {"steps": [{"id": "move", "tool": "burn"}]},
        {"consent": {"move": {**CHOICES, "queue": {"one_of": ["Trash"]}}}},
        {"services": {"helpdesk": {"use": "tickets", "settings": {"url": "http://other"}}}},
    ):
        other = {**GIVEN, **change}
        assert await grants.agreed(store, {**other, "seal": grants.seal(other)}, now) is None
    assert await grants.agreed(store, {**GIVEN, "seal": ""}, now) is None


async def test_several_ways_to_run_a_pipeline_are_agreed_to_one_by_one_and_taken_back_together(store: SqlStore):
    one = {**GIVEN, "seal": "a"}
    other = {**GIVEN, "seal": "b"}
    await grants.agree(store, one, "ada", 1.0)
    await grants.agree(store, other, "ada", 2.0)
    assert [await grants.agreed(store, each, 3.0) is not None for each in (one, other)] == [True, True]
    assert await grants.take_back(store, "tickets")
    assert [await grants.agreed(store, each, 3.0) for each in (one, other)] == [None, None]
    assert not await grants.take_back(store, "tickets")
