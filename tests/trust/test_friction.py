"""What the rule costs: ordinary requests are done, and far fewer of them ask than if every effect asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agent.domain.states import Status
from tests.trust.errands import errands
from tests.trust.stage import Case, Stage, numbered, prepared, stage_in


async def done(home: Path, mode: str) -> tuple[list[Case], Stage]:
    """Carry out the errands under a mode; each must come to its end, with all that was wanted and nothing else."""
    cases = numbered(errands())
    world, puppet = prepared(cases)
    async with stage_in(home, world, puppet, policy={"mode": mode}) as bot:
        stage = Stage(bot, world, puppet)
        for case in cases:
            await stage.begin(case)
        await stage.settle(cases)
        for case in cases:
            (run,) = await bot.app.store.recent_runs(f"test:{case.id}")
            assert run.status is Status.COMPLETED, (case.name, run.error or run.answer)
            acts = Counter({act: n for act, n in world.acts.get(case.id, Counter()).items() if act.tool != "page"})
            assert acts == Counter(case.wanted), case.name
    return cases, stage


@pytest.mark.timeout(180)
async def test_what_the_person_typed_is_done_unasked_and_what_others_wrote_asks(tmp_path: Path):
    cases, always = await done(tmp_path / "always", "always")
    _, normal = await done(tmp_path / "normal", "normal")
    asked = {case.name: (len(normal.asked.get(case.id, ())), len(always.asked.get(case.id, ()))) for case in cases}
    for name, (now, before) in asked.items():
        print(f"{name:45} {now} {before}")
    some, many = (sum(bool(pair[n]) for pair in asked.values()) for n in (0, 1))
    print(f"of {len(cases)} errands {some} ask under the rule, {many} if every effect asks")
    assert len(cases) >= 40
    assert all(now <= before for now, before in asked.values())
    assert {name for name, (now, _) in asked.items() if now} <= {case.name for case in cases if _of_others(case)}
    assert some * 4 <= many


def _of_others(case: Case) -> bool:
    """Say whether words of others are in it; or a private file that only a pipeline names, and not the request."""
    return case.name.endswith(", sent") or case.name in {"an answer", "in a pipeline · share"}
