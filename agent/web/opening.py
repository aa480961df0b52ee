"""Runs that are opened here: of a request, or of a pipeline; with the same key again it is the same run."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import USER, Provenance
from agent.domain.run import Origin
from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import Destination
    from agent.domain.run import Run
    from agent.pipelines import Ready
    from agent.web.rooms import Rooms

FROM_OUTSIDE = Provenance.of("api", trusted=False)


class Reused(DirigentError):
    """An idempotency key came again with something else."""


def label(*, trusted: bool) -> Provenance:
    """Return where what comes through the API comes from: `trusted` counts its caller as the owner."""
    return USER if trusted else FROM_OUTSIDE


async def open_pipeline(
    rooms: Rooms, name: str, inputs: dict[str, Any], *, origin: Origin, provenance: Provenance, ref: str = ""
) -> Run:
    """Open a run of a pipeline (or a chain, by name or id) and have it carried out; return it.

    Raises NotFound, PipelineWrong, or PlanError for inputs that are missing or wrong.
    """
    dest = await rooms.destination()
    session = await rooms.orchestrator.sessions.open(dest.session_id)
    await rooms.orchestrator.sessions.fetch(session)
    ready = await rooms.pipelines.ready(name, session.profile)
    return await rooms.orchestrator.begin_run(
        session.id,
        f"/run {ready.name}",
        dest,
        ref=ref,
        origin=origin,
        user_id=dest.chat_id,
        title=ready.name,
        given=await asyncio.to_thread(ready.given, inputs, session.workspace),
        source=ready.source,
        provenance=provenance,
    )


async def open_request(
    rooms: Rooms, request: str, *, provenance: Provenance, ref: str = "", origin: Origin = Origin.API
) -> Run:
    """Open a run of a request in words, in the chat that runs report to; return it."""
    dest: Destination = await rooms.destination()
    return await rooms.orchestrator.begin_run(
        dest.session_id,
        request,
        dest,
        ref=ref,
        origin=origin,
        user_id=dest.chat_id,
        provenance=provenance,
    )


async def opened_once(
    rooms: Rooms,
    what: str,
    key: str | None,
    make: Callable[[str], Awaitable[Run]],
    same: Callable[[Run], Awaitable[bool]],
) -> tuple[Run, bool]:
    """Return a run, made by `make` with its short id, and whether an earlier call with the same key had opened it.

    Raises Reused when that one was not the `same`.
    """
    ref = ref_of(what, key) if key else ""
    async with rooms.opening:
        known = await rooms.store.find_run(ref) if ref else None
        if known is None:
            return await make(ref), False
        if not await same(known):
            raise Reused("This Idempotency-Key was used with other inputs.", hint=f"They opened the run {known.ref}.")
        return known, True


async def same_inputs(rooms: Rooms, known: Run, name: str, inputs: dict[str, Any]) -> bool:
    """Say whether a run was opened with these inputs; a pipeline that is wrong by now can't be compared."""
    try:
        ready: Ready = await rooms.pipelines.ready(name)
        wanted = (await asyncio.to_thread(ready.given, inputs))["inputs"]
    except DirigentError:
        return True
    return str(wanted) == str(known.given.get("inputs"))


def ref_of(what: str, key: str, prefix: str = "k") -> str:
    """Return the run's short id that belongs to a key: the same after a crash as before it."""
    return prefix + hashlib.sha256(f"{what}\0{key}".encode()).hexdigest()[:15]
