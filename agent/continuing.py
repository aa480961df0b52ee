"""A run that goes on where another one ended: resumed, tried again, done anew."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.deciding import Deciding
from agent.domain.offers import answer_offers, retry_offer
from agent.domain.run import Origin
from agent.domain.states import Status
from agent.execution import scene
from agent.execution.made import made_here, throw_away
from agent.leases import LEASE_SECONDS

if TYPE_CHECKING:
    from agent.domain.messages import Bot
    from agent.domain.run import Run
    from agent.execution.context import RunContext
    from agent.execution.live import LivePlan

RECENT = 50  # runs of a chat among which one that goes on from another is looked for


class Continuing(Deciding):
    """The part of a run's life that begins with another run's end."""

    async def withdraw_run(self, run: Run) -> bool:
        """End a run that has not begun, without a word; False when it has begun or ended."""
        await self._engine.cancel(run.id)
        leased = await self._store.lease_run(run.id, self._owner, LEASE_SECONDS)
        if leased is None:
            return False
        await self._store.finish_run(run.id, leased.epoch, status=Status.CANCELLED, error="Withdrawn.")
        self._tell_finished(run.id)
        return True

    async def _take_given_plan(self, ctx: RunContext, live: LivePlan) -> None:
        """Journal the plan that a run was opened with: a pipeline's, or that of the run that it goes on from."""
        if ctx.run.is_pipeline:
            await scene.take_given_plan(self._store, ctx)
            await self._refuse_too_dear(ctx)
        elif "continues" in ctx.run.given:
            await scene.take_over_plan(self._store, ctx, lambda step: self._dispatcher.has_effect(step, ctx))
        for record in ctx.records.values():
            live.take(record)
        if ctx.run.is_pipeline or ctx.run.given.get("complete"):
            await self._change(ctx, plan_complete=True)

    async def _begin(self, run: Run, bot: Bot) -> RunContext:
        """Begin a run; once it has begun, its words can't be used in another one any more, and the button goes."""
        if run.id in self.offered or self._engine.elsewhere:
            self.offered.discard(run.id)
            shown = await self._store.get_message(f"run:{run.id}:queued")
            if shown is not None and "buttons" in shown.payload:
                await self._store.post(replace(shown, payload={"text": shown.payload["text"]}))
        return await super()._begin(run, bot)

    # --- going on, and doing it again ---------------------------------------------------------------------------
    async def go_on(self, old: Run, inbox_id: int | None = None) -> Run | None:
        """Open a run that goes on where one has ended, and keeps what is finished; None when that was done already.

        The same message (`inbox_id`) always opens the same run.
        """
        for run in await self._store.recent_runs(old.session_id, RECENT):
            if run.given.get("continues") == old.id and (inbox_id is None or run.inbox_id != inbox_id):
                return None
        given: dict[str, Any] = {"continues": old.id, "complete": old.plan_complete}
        if old.is_pipeline:
            done = {r.step.id for r in await self._store.get_steps(old.id) if r.status is Status.COMPLETED}
            kept = [step["id"] for step in old.given["steps"] if step["id"] in done]
            given = {**old.given, "continues": old.id, "kept": {"run": old.id, "steps": kept}}
        return await self._open_like(old, old.request, given, inbox_id)

    async def do_again(self, old: Run, inbox_id: int | None = None, more: str = "") -> Run:
        """Open a run of the same request (with `more` words after it) and forget what came of the first."""
        given = {name: value for name, value in old.given.items() if name not in {"kept", "continues", "complete"}}
        words = f"{old.request}\n\n{more}" if more else old.request
        return await self._open_like(old, words, given if old.is_pipeline else {}, inbox_id)

    async def _open_like(self, old: Run, words: str, given: dict[str, Any], inbox_id: int | None) -> Run:
        return await self.begin_run(
            old.session_id,
            words,
            old.dest,
            origin=Origin.MESSAGE if old.origin is Origin.TRIGGER else old.origin,
            inbox_id=inbox_id or None,
            user_id=old.user_id,
            provenance=old.provenance,
            title=old.title,
            given=given,
            source=old.source,
            project=old.project,
            budget=old.budget if old.is_pipeline else None,
        )

    async def files_of(self, run: Run) -> list[str]:
        """Return the files that a run has made and that are as it left them."""
        session = await self.sessions.open(run.session_id)
        await self.sessions.fetch(session)
        return await asyncio.to_thread(made_here, session, await self._store.get_steps(run.id))

    async def discard(self, run: Run) -> list[str]:
        """Remove the files that a run has made and that are as it left them; return their names."""
        files = await self.files_of(run)
        session = await self.sessions.open(run.session_id)
        async with self.sessions.writing(session):
            await asyncio.to_thread(throw_away, session, files)
        return files

    def _offers(self, ctx: RunContext, because: str) -> list[list[dict[str, str]]]:
        """Return the buttons under the answer of a run, which has failed if there is a `because`."""
        if not because:
            return answer_offers(ctx.run, scene.carried_out(ctx), with_model=ctx.llm is not None)
        if ctx.run.origin is Origin.TRIGGER:
            return []
        return retry_offer(ctx.run, models=ctx.llm is not None and not ctx.run.is_pipeline)
