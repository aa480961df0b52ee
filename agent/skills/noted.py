"""Which skills a run has loaded: in the journal, so that its next plan, or the next process, has them again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.domain.session import Profile
    from agent.skills.reading import Skill
    from agent.skills.shelf import Skills
    from agent.store.protocol import Store

MOST_NAMED = 3


async def loaded_for(store: Store, run: Run, skills: Skills, profile: Profile) -> tuple[Skill, ...]:
    """Return the skills that a run has loaded or that its request names, if they are still there and may be used."""
    noted = await _noted(store, run)
    named = [skill.name for skill in skills.named_in(run.request, profile)][:MOST_NAMED]
    there = {skill.name: skill for skill in skills.usable(profile)}
    return tuple(there[name] for name in dict.fromkeys([*noted, *named]) if name in there)


async def note_loading(store: Store, run: Run, skill: Skill) -> None:
    """Note that a run loads a skill; said before its instructions are read to a model."""
    names = list(dict.fromkeys([*await _noted(store, run), skill.name]))
    await store.set_value(_key(run), json.dumps(names))
    store.audit_soon("skill", run.session_id, {"run": run.ref, "skill": skill.name})


async def _noted(store: Store, run: Run) -> list[str]:
    return list(json.loads(await store.get_value(_key(run)) or "[]"))


def _key(run: Run) -> str:
    return f"run:{run.id}:skills"
