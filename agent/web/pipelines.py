"""Pipelines changed by their owner, on a page or over the API: looked at as a whole before anything is written."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import DirigentError, NameTaken, NotFound, PlanError
from agent.llm.prices import price

if TYPE_CHECKING:
    from agent.pipelines import Place, Ready
    from agent.planning.pipeline_preview import Preview
    from agent.web.rooms import Rooms

MOST_CHARS = 200_000
KIND = "pipeline"  # of entries of the audit log


class Stale(DirigentError):
    """What is to be changed is not what the caller has looked at."""


class Unmatched(DirigentError):
    """A change that does not say what it was made from."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a text would do: mistakes, one line each; or what can be run and a preview of it."""

    problems: tuple[str, ...] = ()
    ready: Ready | None = None
    preview: Preview | None = None


def present(rooms: Rooms, name: str) -> tuple[Place, str] | None:
    """Return where a pipeline lies and its text; None when there is none."""
    place = rooms.pipelines.places().get(name)
    return (place, place.file.read_text(encoding="utf-8", errors="replace")) if place else None


def tag_of(text: str) -> str:
    """Return what stands for exactly this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def look(rooms: Rooms, name: str, text: str) -> Look:
    """Return what is wrong with a text, or what it would do; nothing is run or written."""
    from agent.planning.pipeline_preview import look_at

    config = rooms.config
    try:
        ready = checked(rooms, name, text)
        seen = look_at(
            ready.steps,
            rooms.catalogue.find,
            lambda read, wrote: price(config.model, read, wrote, config.llm.prices),
            config.plugins,
        )
    except PlanError as error:
        return Look(error.problems)
    except DirigentError as error:
        return Look((str(error),))
    return Look((), ready, seen)


def checked(rooms: Rooms, name: str, text: str) -> Ready:
    """Return a text as a pipeline that can be run. Raises PlanError with every mistake, NotFound."""
    from agent.planning.pipeline import NAME
    from agent.planning.pipeline_reading import read_pipeline

    if not NAME.match(name):
        raise PlanError([f"{name!r} is no name for a pipeline"], hint="Letters, digits, `-` and `_`, at most 64.")
    if len(text) > MOST_CHARS:
        raise PlanError([f"{len(text):,} characters are too many; {MOST_CHARS:,} are allowed"])
    return rooms.pipelines.check(*read_pipeline(text, f"{name}.yaml"))


async def save(rooms: Rooms, name: str, text: str, by: str, *, made_from: str | None = None) -> bool:
    """Write a pipeline into the home and have its triggers set anew; True when there was none of that name.

    `made_from` is the tag of the text that was changed ("" for none); None asks for nothing. Raises Stale when that is
    another one by now, PlanError with every mistake; then nothing is changed.
    """
    async with rooms.writing:
        before = await asyncio.to_thread(present, rooms, name)
        _check_tag(before, made_from)
        await asyncio.to_thread(checked, rooms, name, text)
        await rooms.store.audit(
            KIND, "", {"saved": name, "by": by, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        )
        await asyncio.to_thread(_write, rooms, name, text)
        await rooms.reload()
    return before is None


async def remove(rooms: Rooms, name: str, by: str, *, made_from: str | None = None) -> None:
    """Delete a pipeline of the home, with its triggers and every yes to it.

    Raises NotFound, Stale, NameTaken for one that a plugin ships, or that triggers or chains run.
    """
    from agent.policy.grants import take_back

    async with rooms.writing:
        before = await asyncio.to_thread(present, rooms, name)
        if before is None:
            raise NotFound(f"There is no pipeline {name!r}.", hint="The list has all of them.")
        _check_tag(before, made_from)
        place, _ = before
        if place.plugin:
            raise NameTaken(
                f"{name!r} comes with {place.plugin}.", hint="`dirigent pipelines disable` switches it off."
            )
        await _check_unused(rooms, name)
        await rooms.store.audit(KIND, "", {"removed": name, "by": by})
        await take_back(rooms.store, name)
        await asyncio.to_thread(place.file.unlink, missing_ok=True)
        await rooms.reload()


async def _check_unused(rooms: Rooms, name: str) -> None:
    """Raise NameTaken while triggers that others have made, or chains, run a pipeline."""
    using = [one.name for one in await rooms.store.triggers() if one.target.get("pipeline") == name != one.source]
    using += [chain.name for chain in await rooms.store.chains() if name in chain.workflows]
    if using:
        raise NameTaken(f"{name!r} is run by {', '.join(using[:5])}.", hint="Delete these first.")


def _check_tag(before: tuple[Place, str] | None, made_from: str | None) -> None:
    now = tag_of(before[1]) if before else ""
    if made_from is not None and made_from != now:
        raise Stale(
            "It has been changed meanwhile." if now else "It is gone meanwhile.",
            hint="Look at it again, then change it.",
        )


def _write(rooms: Rooms, name: str, text: str) -> None:
    from sandbox.halves import made_whole

    folder = rooms.pipelines.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = rooms.pipelines.places().get(name)
    file = place.file.name if place and not place.plugin else f"{name}.yaml"
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with made_whole(handle, file, file) as written:
            written.write(text.encode())
            written.flush()
            os.fsync(written.fileno())
    finally:
        os.close(handle)
