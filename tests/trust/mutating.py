"""Ways to break the rule of consent in one place, and what may notice it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.provenance import NOTHING, USER, Provenance
from agent.execution import executor, lists
from agent.execution.executor import Executor, Transcript
from agent.memory.memory import SessionMemory
from agent.policy import consent, grants, provenance, rule
from agent.store.sql import SqlStore
from tests.trust import plots
from tests.trust.modes import PIPELINES, asking_first
from tests.trust.stage import Case, breaches, numbered, play, play_across_a_kill

Patch = pytest.MonkeyPatch
Probe = Callable[[Path, Patch], Awaitable[None]]
ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Mutant:
    """One place broken (`breaks`), and the attacks that notice it."""

    name: str
    breaks: Callable[[Patch], None]
    noticed_by: Probe


# --- what notices -------------------------------------------------------------------------------------------------------
def among(cases: Iterable[Case], *words: str, way: str = "") -> Probe:
    """Return the first attacks of a table whose names hold the words."""
    found = [case for case in cases if all(f" {word} " in f" {case.name} " for word in words)][:ENOUGH]
    assert found, words
    known = numbered(PIPELINES[way](case) if way else case for case in found)

    async def probe(tmp_path: Path, _: Patch) -> None:
        assert breaches(known, await play(tmp_path / "home", known)) == []

    return probe


def after_a_kill(*words: str) -> Probe:
    found = [case for case in plots.flows() if all(f" {word} " in f" {case.name} " for word in words)][:ENOUGH]
    known = numbered(map(asking_first, found))

    async def probe(tmp_path: Path, _: Patch) -> None:
        assert breaches(known, await play_across_a_kill(tmp_path / "home", known)) == []

    return probe


def by(test: Callable[..., Awaitable[None]], **given: Any) -> Probe:
    """Return a test as what notices."""

    async def probe(tmp_path: Path, patch: Patch) -> None:
        wanted = {"tmp_path": tmp_path, "monkeypatch": patch, **given}
        names = test.__code__.co_varnames[: test.__code__.co_argcount]
        await test(**{name: wanted[name] for name in names})

    return probe


def at_once(test: Callable[..., None], given: Iterable[Any]) -> Probe:
    async def probe(_: Path, __: Patch) -> None:
        for one in given:
            test(one)

    return probe


# --- what breaks --------------------------------------------------------------------------------------------------------
def judged(change: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> Callable[[Patch], None]:
    """Judge calls by other labels than they have."""
    right = consent.decide

    def wrong(spec: Any, args: Any, control: Provenance, **more: Any) -> consent.Verdict:
        return right(spec, **change(spec, {"args": args, "control": control, **more}))

    return lambda patch: patch.setattr(consent, "decide", wrong)


def without(name: str) -> Callable[[Patch], None]:
    return judged(lambda _, given: {**given, name: NOTHING})


def put(owner: Any, name: str, value: Any) -> Callable[[Patch], None]:
    static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    return lambda patch: patch.setattr(owner, name, staticmethod(value) if static else value)


def given(
    owner: Any, name: str, change: Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]
) -> Callable[[Patch], None]:
    """Call a function with other arguments than it is given."""
    right = getattr(owner, name)

    def wrong(*args: Any, **more: Any) -> Any:
        changed, options = change(*args, **more)
        return right(*changed, **options)

    return put(owner, name, wrong)


def made(owner: Any, name: str, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Return something else than a function returns."""
    right = getattr(owner, name)
    return put(owner, name, lambda *args, **more: change(right(*args, **more)))


def clean(response: Any) -> Any:
    return replace(response, provenance=NOTHING)


def harmless_texts(spec: Any, given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "args": {name: label for name, label in given["args"].items() if name not in spec.content_args}}


def no_arguments(_: Any, given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "args": dict.fromkeys(given["args"], NOTHING)}


def forgetful_task(patch: Patch) -> None:
    right = Executor._call

    async def wrong(self: Executor, *given: Any) -> Any:
        log = next(one for one in given if isinstance(one, Transcript))
        before = log.labels
        said = await right(self, *given)
        log.labels = before
        return said

    patch.setattr(Executor, "_call", wrong)


def files_of_nobody(patch: Patch) -> None:
    right = SqlStore.add_artifacts

    async def wrong(self: SqlStore, session: str, run: int | None, step: str, files: Any) -> None:
        await right(self, session, run, step, [replace(file, provenance=NOTHING) for file in files])

    patch.setattr(SqlStore, "add_artifacts", wrong)


def files_hold_nothing(patch: Patch) -> None:
    for name in ("of_files", "_of_path"):
        patch.setattr(provenance, name, no_label)


def learns(patch: Patch) -> None:
    right = rule.rule
    wrong = lambda spec, *args, **more: right(spec, *args, **more) if rule.leaves(spec) else rule.UNASKED  # noqa: E731
    patch.setattr(rule, "rule", wrong)
    patch.setattr(consent, "rule", wrong)


def forever(patch: Patch) -> None:
    right = grants.agreed
    patch.setattr(grants, "agreed", lambda store, given, now: right(store, given, 0.0))


def remembers_all(patch: Patch) -> None:
    right = SessionMemory.recall
    patch.setattr(SessionMemory, "recall", lambda self, query="", limit=20, **_: right(self, query, limit))


def yes_for_all(patch: Patch) -> None:
    """Take what was allowed once for allowed as often as it comes."""
    right = executor.agreed_for_task

    async def wrong(store: Any, ctx: Any, step_id: str, spec: Any, args: Any, *more: Any) -> bool:
        given = await store.approvals_of(ctx.run.id)
        same = consent.digest(spec.full_name, args)
        allowed = any(one.decision == "allow" and one.digest == same for one in given)
        return allowed or await right(store, ctx, step_id, spec, args, *more)

    patch.setattr(executor, "agreed_for_task", wrong)


def any_list(patch: Patch) -> None:
    right = lists.begin_steps
    patch.setattr(lists, "begin_steps", lambda store, ctx, steps, control: right(store, ctx, steps, ctx.run.provenance))


def own_label(*_: Any, **__: Any) -> Provenance:
    return USER


def no_label(*_: Any, **__: Any) -> Provenance:
    return NOTHING


def always(*_: Any, **__: Any) -> bool:
    return True


def never(*_: Any, **__: Any) -> bool:
    return False
