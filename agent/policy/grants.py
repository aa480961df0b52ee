"""What the owner has agreed to beforehand, for runs that nobody watches: enumerated calls of a pipeline's steps.

A grant holds for one pipeline as it stands: its steps, its services and the alternatives of each argument are sealed by
a digest, so a changed file needs a new yes. It expires. It never covers what costs money, and only tools that admit it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

DAYS = 90
MAX_TEXT = 2_000
SHOWN = 12
Alternatives = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Grant:
    """One yes: to what (the seal), whose, and until when (seconds since 1970)."""

    seal: str
    by: str
    at: float
    until: float


def seal(given: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of what a run is opened with, as far as it decides what is called."""
    parts = [given.get(name) for name in ("pipeline", "steps", "services", "consent")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def within(spec: ToolSpec, args: Mapping[str, Any], choices: Alternatives, listed: Mapping[str, Iterable[Any]]) -> bool:
    """Say whether exactly this call is among what was agreed to.

    `listed` has the results of the steps that list things: each a list of records. An argument that equals the tool's
    own default is as if it was not given; any other must be one of its alternatives.
    """
    if not spec.standing or spec.cost:
        return False
    defaults = {name: info.default for name, info in spec.arguments.model_fields.items() if not info.is_required()}
    return all(
        (name in defaults and _same(value, defaults[name])) or _admits(choices.get(name), name, value, listed)
        for name, value in args.items()
    )


def _admits(choice: Mapping[str, Any] | None, name: str, value: Any, listed: Mapping[str, Iterable[Any]]) -> bool:
    if choice is None:
        return False
    if "listed" in choice:
        rows = listed.get(choice["listed"], ())
        return any(isinstance(row, Mapping) and name in row and str(row[name]) == str(value) for row in rows)
    if "pattern" in choice:
        fits = isinstance(value, str) and len(value) <= MAX_TEXT
        return fits and re.fullmatch(choice["pattern"], value) is not None
    several = value if isinstance(value, list) and not any(_same(value, one) for one in choice["one_of"]) else [value]
    return bool(several) and all(any(_same(each, one) for one in choice["one_of"]) for each in several)


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1, and "3" is not 3."""
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def in_words(given: Mapping[str, Any]) -> list[str]:
    """Return what a yes would allow, one line a call, exactly as it would be checked."""
    tools = {step["id"]: step.get("tool") or "" for step in given["steps"]}
    return [
        f"{tools.get(step, step)}: " + ", ".join(f"{name} {_choice(choice)}" for name, choice in choices.items())
        for step, choices in (given.get("consent") or {}).items()
    ]


def _choice(choice: Mapping[str, Any]) -> str:
    if "listed" in choice:
        return f"any that `{choice['listed']}` has listed"
    if "pattern" in choice:
        return f"any text like {choice['pattern']}"
    values = [json.dumps(value, ensure_ascii=False) for value in choice["one_of"]]
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"


# --- kept in the journal --------------------------------------------------------------------------------------------
async def agree(store: Store, given: Mapping[str, Any], by: str, now: float) -> Grant:
    """Note the owner's yes and return it; it holds for 90 days."""
    grant = Grant(given["seal"], by, now, now + DAYS * 86_400)
    kept = [one for one in await grants_of(store, given["pipeline"]) if one.seal != grant.seal and one.until > now]
    written = json.dumps([asdict(one) for one in [*kept, grant]])
    told = {"pipeline": given["pipeline"], "calls": in_words(given), **asdict(grant)}
    # Requested at once, they share a commit.
    await asyncio.gather(store.set_value(_key(given["pipeline"]), written), store.audit("agreed", "", told))
    return grant


async def agreed(store: Store, given: Mapping[str, Any], now: float) -> Grant | None:
    """Return the yes that holds for what a run was opened with, if there is one."""
    if not given.get("seal"):
        return None
    found = await grants_of(store, given["pipeline"])
    return next((one for one in found if one.seal == given["seal"] and one.until > now), None)


async def grants_of(store: Store, pipeline: str) -> list[Grant]:
    """Return every yes to a pipeline, also those that no longer hold."""
    return [Grant(**one) for one in json.loads(await store.get_value(_key(pipeline)) or "[]")]


async def take_back(store: Store, pipeline: str) -> bool:
    """Forget every yes to a pipeline; False when there was none."""
    had = bool(await grants_of(store, pipeline))
    if had:
        told = store.audit("taken back", "", {"pipeline": pipeline})
        await asyncio.gather(store.set_value(_key(pipeline), "[]"), told)
    return had


def _key(pipeline: str) -> str:
    return f"agreed:{pipeline}"
