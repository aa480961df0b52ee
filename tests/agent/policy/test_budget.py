"""Budgets: set aside before, settled after, refused before anything is overspent, warned about once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.config import Limits
from agent.domain.ledger import Balance, Usage
from agent.domain.messages import Destination
from agent.domain.plan import PlanStep, StepType
from agent.domain.project import Project
from agent.domain.run import Run
from agent.errors import OverBudget
from agent.policy.budget import Budget, Need, dollars
from agent.policy.estimate import step_cost
from agent.store.sql import SqlStore
from plugins.api import spec_of, tool

DEST = Destination("test", "1")
DAY = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore(tmp_path / "journal.db")
    await store.open()
    yield store
    await store.close()


async def budget_of(store: SqlStore, limits: Limits, **fields: object) -> Budget:
    run = await store.open_run(Run(**{"session_id": "test:1", "request": "x", "dest": DEST, "user_id": "7", **fields}))
    budget = Budget(store, run, limits, clock=lambda: DAY, wait=0.0)
    await budget.load()
    return budget


def costs(money: float) -> Need:
    return Need(lambda _answer: money)


def model(prompt: int, answer: int, per_token: float = 0.001) -> Need:
    return Need(lambda n: (prompt + n) * per_token, prompt, answer)


async def test_what_a_call_does_not_use_is_free_again(store):
    budget = await budget_of(store, Limits(money=1.0))
    held = await budget.hold(costs(0.9))
    await budget.settle(held, [Usage("step", "m", 10, 5, money=0.1)])

    assert budget.money == 0.1
    assert (await budget.hold(costs(0.9))).id


async def test_a_call_that_could_pass_a_cap_is_refused_with_everything_named(store):
    budget = await budget_of(store, Limits(money=0.5))
    await budget.settle(await budget.hold(costs(0.4)), [Usage("step", "m", money=0.4)])

    with pytest.raises(OverBudget) as refused:
        await budget.hold(costs(0.2))
    said = str(refused.value)
    assert "this request is $0.50: $0.40 is used" in said
    assert "$0.20" in said
    assert "limits.money" in said
    assert refused.value.pauses
    assert await store.balance(refused.value.account) == Balance(refused.value.account, 0.4, 0)


@pytest.mark.parametrize(
    ("setting", "account", "name"),
    [
        ("money_per_day", "day:2026-11-21", "today"),
        ("money_per_month", "month:2026-11", "this month"),
        ("money_per_user_day", "user:7:2026-11-21", "one person today"),
        ("money_per_session", "session:test:1", "this chat"),
    ],
)
async def test_every_cap_of_the_settings_holds_over_runs(store, setting, account, name):
    limits = Limits(money=0, **{setting: 0.5})
    first, second = await budget_of(store, limits), await budget_of(store, limits)
    await first.settle(await first.hold(costs(0.4)), [Usage("step", "m", money=0.4)])

    with pytest.raises(OverBudget, match=rf"{name} is \$0\.50.*limits\.{setting}") as refused:
        await second.hold(costs(0.2))
    assert refused.value.account == account
    assert not refused.value.pauses


async def test_a_project_has_its_own_budget_and_the_command_that_changes_it(store):
    await store.put_project(Project("film", "test:1", DEST, budget=0.5))
    budget = await budget_of(store, Limits(), project="film")
    with pytest.raises(OverBudget, match=r"project film is \$0\.50.*`dirigent projects budget film AMOUNT`"):
        await budget.hold(costs(0.6))

    await store.put_project(Project("film", "test:1", DEST, budget=0.7))
    await budget.settle(await budget.hold(costs(0.6)), [Usage("step", "m", money=0.6)])
    assert (await store.project_status("film")).balance.money == 0.6


async def test_a_run_may_have_a_budget_of_its_own(store):
    assert (await (await budget_of(store, Limits(money=1.0), budget=5.0)).hold(costs(4.0))).id
    with pytest.raises(OverBudget):
        await (await budget_of(store, Limits(money=1.0), budget=0.0)).hold(costs(0.01))
    assert (await (await budget_of(store, Limits(money=0.0))).hold(costs(400.0))).id


async def test_a_run_that_was_granted_more_meanwhile_goes_on(store):
    budget = await budget_of(store, Limits(money=0.5))
    with pytest.raises(OverBudget):
        await budget.hold(costs(0.6))
    run = (await store.recent_runs())[0]
    leased = await store.lease_run(run.id, "me", 60)
    await store.change_run(run.id, leased.epoch, budget=1.5)

    assert (await budget.hold(costs(0.6))).id
    assert budget.own_cap == 1.5


async def test_an_interrupted_run_goes_on_with_what_it_has_spent(store):
    first = await budget_of(store, Limits(money=1.0))
    await first.settle(await first.hold(costs(0.8)), [Usage("step", "m", money=0.8)])
    again = Budget(store, (await store.recent_runs())[0], Limits(money=1.0), wait=0.0)
    await again.load()

    assert again.money == 0.8
    with pytest.raises(OverBudget):
        await again.hold(costs(0.3))


# --- answers of models --------------------------------------------------------------------------------------------
async def test_an_answer_is_made_as_short_as_the_money_asks_for(store):
    budget = await budget_of(store, Limits(money=1.0, tokens=0))
    held = await budget.hold(model(prompt=100, answer=2_000))

    assert not held.whole
    assert held.answer == pytest.approx(900, abs=1)
    assert (await store.balance("run:1")).reserved_money <= 1.0


async def test_an_answer_for_which_hardly_anything_is_left_is_refused(store):
    budget = await budget_of(store, Limits(money=1.0, tokens=0))
    with pytest.raises(OverBudget):
        await budget.hold(model(prompt=800, answer=2_000))


async def test_tokens_are_limited_where_the_price_is_unknown(store):
    budget = await budget_of(store, Limits(money=1.0, tokens=1_000))
    unpriced = Need(lambda _answer: 0.0, 400, 500)
    await budget.settle(await budget.hold(unpriced), [Usage("step", "m", 400, 500, money=None)])

    with pytest.raises(OverBudget, match=r"1,000: 900 are used.*limits\.tokens") as refused:
        await budget.hold(unpriced)
    assert not refused.value.pauses
    assert budget.money == 0.0


async def test_a_call_waits_for_what_another_has_set_aside(store):
    budget = await budget_of(store, Limits(money=1.0))
    budget._wait = 30.0
    held = await budget.hold(costs(0.9))
    second = asyncio.create_task(budget.hold(costs(0.5)))
    while not (await store.balance("run:1")).reserved_money:
        await asyncio.sleep(0)
    assert not second.done()
    await budget.settle(held, [Usage("step", "m", money=0.1)])

    assert (await asyncio.wait_for(second, 60)).id


# --- warnings -----------------------------------------------------------------------------------------------------
async def texts(store: SqlStore) -> list[str]:
    return [m.payload["text"] for m in await store.messages_of("test:1")]


async def test_little_money_left_is_told_once(store):
    budget = await budget_of(store, Limits(money=1.0))
    for _ in range(9):
        await budget.settle(await budget.hold(costs(0.1)), [Usage("step", "m", money=0.1)])
    again = Budget(store, (await store.recent_runs())[0], Limits(money=1.0))  # after a restart
    await again.settle(await again.hold(costs(0.05)), [Usage("step", "m", money=0.05)])

    [said] = await texts(store)
    assert "$0.90 of the $1.00 for this request is spent" in said
    assert "limits.money" in said


async def test_another_cap_is_warned_about_again(store):
    budget = await budget_of(store, Limits(money=1.0))
    await budget.settle(await budget.hold(costs(0.9)), [Usage("step", "m", money=0.9)])
    raised = Budget(store, (await store.recent_runs())[0], Limits(money=2.0))
    await raised.settle(await raised.hold(costs(0.9)), [Usage("step", "m", money=0.9)])

    assert len(await texts(store)) == 2


async def test_a_project_says_where_it_speaks_that_little_is_left(store):
    elsewhere = Destination("test", "9")
    await store.put_project(Project("film", "test:9", elsewhere, budget=1.0, warn_at=0.5))
    budget = await budget_of(store, Limits(), project="film", budget=9.0)
    for _ in range(2):
        await budget.settle(await budget.hold(costs(0.3)), [Usage("step", "m", money=0.3)])

    [message] = await store.messages_of("test:9")
    assert "$0.60 of the $1.00 for project film" in message.payload["text"]
    assert (await store.get_project("film")).warned


# --- processes ----------------------------------------------------------------------------------------------------
SPENDS = """
import asyncio, sys
from agent.config import Limits
from agent.domain.ledger import Usage
from agent.errors import OverBudget
from agent.policy.budget import Budget, Need
from agent.store.sql import SqlStore

async def main(file, run_id):
    store = SqlStore(file)
    await store.open()
    budget = Budget(store, await store.get_run(int(run_id)), Limits(money=0, money_per_day=1.0), wait=0.0)
    made = 0
    print("ready", flush=True)
    sys.stdin.readline()

    async def spend():
        nonlocal made
        while made < 30:
            try:
                held = await budget.hold(Need(lambda _answer: 0.03))
            except OverBudget:
                return
            made += 1
            await budget.settle(held, [Usage("step", "m", money=0.02)])

    await asyncio.gather(*(spend() for _ in range(4)))
    await store.close()
    print(made)

asyncio.run(main(*sys.argv[1:]))
"""
DIES = """
import asyncio, os, signal, sys
from agent.config import Limits
from agent.policy.budget import Budget, Need
from agent.store.sql import SqlStore

async def main(file, run_id):
    store = SqlStore(file)
    await store.open()
    await store.lease_run(int(run_id), "child", 60)
    budget = Budget(store, await store.get_run(int(run_id)), Limits(money=1.0))
    await budget.hold(Need(lambda _answer: 0.7))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.crash
async def test_two_processes_that_spend_at_once_never_pass_the_cap(store, tmp_path):
    runs = [(await store.open_run(Run("test:1", "x", DEST))).id for _ in range(2)]
    command = [sys.executable, "-c", SPENDS, str(tmp_path / "journal.db")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, str(run)], **pipes) for run in runs]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    made = [int((await asyncio.to_thread(child.communicate, timeout=60))[0]) for child in children]

    stands = await store.balance(f"day:{time.strftime('%Y-%m-%d')}")
    assert stands.money == pytest.approx(0.02 * sum(made))
    assert 0.95 < stands.money <= 1.0
    assert stands.reserved_money == 0
    assert all(made), "one alone may not spend so much"


@pytest.mark.crash
async def test_what_a_killed_worker_had_set_aside_counts_as_spent(store, tmp_path):
    run = await store.open_run(Run("test:1", "x", DEST))
    command = [sys.executable, "-c", DIES, str(tmp_path / "journal.db"), str(run.id)]
    assert subprocess.run(command, check=False, timeout=200).returncode == -9
    assert (await store.balance(f"run:{run.id}")).reserved_money == 0.7
    present = await store.get_run(run.id)
    await store.release_run(run.id, present.epoch)
    leased = await store.lease_run(run.id, "parent", 60)
    budget = Budget(store, leased, Limits(money=1.0), wait=0.0)
    await budget.load()

    assert budget.money == 0.7
    with pytest.raises(OverBudget):
        await budget.hold(costs(0.4))


# --- estimates ----------------------------------------------------------------------------------------------------
@tool(cost=0.04)
def video(seconds: int) -> str:
    """Make a video."""
    return str(seconds)


@tool(cost=lambda _settings, args: args["seconds"] * 0.01)
def film(seconds: int) -> str:
    """Make a film."""
    return str(seconds)


@pytest.mark.parametrize(
    ("step", "cost"),
    [
        (PlanStep(id="a", tool="video", args={"seconds": 5}), 0.04),
        (PlanStep(id="a", tool="film", args={"seconds": 5}), 0.05),
        (PlanStep(id="a", tool="film", args={"seconds": "{{ b.output }}"}), None),
        (PlanStep(id="a", tool="gone"), None),
        (PlanStep(id="a", step_type=StepType.LLM, instruction="x" * 400), 1_600 + 500),
        (PlanStep(id="a", step_type=StepType.TASK, instruction="work"), 4 * 2_001),
        (PlanStep(id="a", step_type=StepType.ASK, question="?"), 0.0),
    ],
)
def test_what_a_step_should_cost(step, cost):
    tools = {"video": spec_of(video), "film": spec_of(film)}

    assert step_cost(step, tools.__getitem__, lambda read, wrote: float(read + wrote), {}) == cost


@pytest.mark.parametrize(("money", "said"), [(1.0, "$1.00"), (0.123456, "$0.12"), (0.0042, "$0.0042"), (0, "$0.00")])
def test_money_is_written_as_people_do(money, said):
    assert dollars(money) == said
