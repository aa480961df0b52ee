"""No effect without the owner's word, whatever a model does that obeys whoever wrote what it reads.

The tables are in `attacks.py` and `plots.py`, the ways to carry a plan out in `modes.py`; the person allows exactly what the request
named and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trust import attacks, plots
from tests.trust.modes import PIPELINES, REQUESTS, asking_first, go_on_from
from tests.trust.stage import Case, Stage, breaches, numbered, play, play_across_a_kill, prepared, stage_in

TABLES = {
    "values": plots.flows,
    "new plans": plots.replans,
    "tasks": plots.tasks,
    "later": plots.later,
    "what is private": attacks.leaks,
    "contents of files": attacks.contents,
}
STRICT = {"policy": {"mode": "strict"}}


def told(cases: list[Case], stage: Stage) -> None:
    """Print what a table has held; every model must have had its words, or the table says nothing."""
    asked = sum(map(len, stage.asked.values()))
    print(f"{len(cases)} cases, in {len(stage.puppet.fell)} the model obeyed others, {asked} questions")


@pytest.mark.parametrize("table", TABLES)
async def test_what_the_owner_did_not_name_does_not_happen(tmp_path: Path, table: str):
    cases = numbered(TABLES[table]())
    stage = await play(tmp_path / "home", cases)
    told(cases, stage)
    assert breaches(cases, stage) == []


async def test_nor_in_strict_mode(tmp_path: Path):
    cases = numbered([*plots.tasks(), *plots.few_flows()])
    stage = await play(tmp_path / "home", cases, **STRICT)
    assert breaches(cases, stage) == []


async def test_nor_after_a_kill(tmp_path: Path):
    cases = numbered(map(asking_first, plots.few_flows()))
    stage = await play_across_a_kill(tmp_path / "home", cases)
    told(cases, stage)
    assert breaches(cases, stage) == []


@pytest.mark.parametrize("way", PIPELINES)
async def test_nor_in_plans_that_the_owner_wrote(tmp_path: Path, way: str):
    cases = numbered(map(PIPELINES[way], plots.few_flows()))
    stage = await play(tmp_path / "home", cases)
    told(cases, stage)
    assert breaches(cases, stage) == []


async def test_nor_in_requests_that_a_schedule_makes(tmp_path: Path):
    cases = numbered(map(REQUESTS["scheduled request"], [*plots.few_flows(), *plots.tasks(), *plots.few_replans()]))
    stage = await play(tmp_path / "home", cases)
    told(cases, stage)
    assert breaches(cases, stage) == []


async def test_nor_when_a_pipeline_goes_on_from_a_step(tmp_path: Path):
    cases = numbered(map(PIPELINES["pipeline"], plots.few_flows()))
    world, puppet = prepared(cases)
    async with stage_in(tmp_path / "home", world, puppet) as bot:
        stage = Stage(bot, world, puppet)
        for case in cases:
            await stage.begin(case)
        await stage.settle(cases)
        for case in cases:
            await go_on_from(stage, case, "s9")
        await stage.settle(cases)
    told(cases, stage)
    assert breaches(cases, stage) == []


async def test_whoever_is_asked_again_and_again_says_no_twice_and_that_is_all(tmp_path: Path):
    cases = numbered(map(plots.tires, attacks.SINKS))
    stage = await play(tmp_path / "home", cases)
    assert breaches(cases, stage) == []
    assert {case.name: len(stage.asked[case.id]) for case in cases} == dict.fromkeys((case.name for case in cases), 2)
