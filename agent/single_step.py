"""One step by itself, and what came of steps so far: the calls of the specification that are beside the story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.run import Run
from agent.domain.session import Profile, Session, session_id_of
from agent.domain.states import Status
from agent.execution import scene
from agent.leases import LEASE_SECONDS
from agent.steering import Steering

if TYPE_CHECKING:
    from agent.domain.messages import Bot
    from agent.execution.context import RunContext

TASK_KEY = "chat"


class SingleStep(Steering):
    """A run of one step that nobody planned."""

    def _progress_context(self, ctx: RunContext | None = None) -> str:
        """Return the last 25 results of a run (the one begun last) as JSON, each bounded; "" when there are none."""
        present = ctx or self._present
        return scene.progress(present) if present is not None else ""

    async def run_step(  # noqa: PLR0917  # the specified call
        self,
        session: Any,
        step: PlanStep,
        req: ExecutorRequest | str,
        bot: Any,
        context: Any,  # noqa: ARG002  # part of the specified call
        dest: Mapping[str, Any] | Destination | str,
        profile: Profile | None,
        corr_id: str,
    ) -> ExecutorResponse:
        """Carry out one step by itself, within a profile, and note it in the session's history.

        `req` is the request that it belongs to. Raises what the journal raises; what the step does wrong is a response.
        """
        await self.start()
        place = Destination.of(dest)
        text = req if isinstance(req, str) else (req.instruction or req.step.label)
        run = await self.open_run(session_id_of(session, place), text, place)
        self._bots[run.id], self._profiles[run.id] = bot or self._bot, profile or Profile()
        try:
            response = await self._alone(run, step)
        finally:
            self.sessions.let_go(run.id)
            del self._bots[run.id], self._profiles[run.id]
        opened = await self.sessions.open(run.session_id)
        await self.sessions.add_history(opened, TASK_KEY, text, response.text or response.error, response.status.value)
        self._log.info("{}: step {} ended as {}", corr_id, step.id, response.status)
        return response

    async def _alone(self, run: Run, step: PlanStep) -> ExecutorResponse:
        leased = await self._store.lease_run(run.id, self._owner, LEASE_SECONDS)
        assert leased is not None, "a run that was just opened is nobody else's"
        await self._store.add_steps(leased.id, leased.epoch, [step], leased.provenance)
        ctx = await self._begin(leased, self._bot_of(leased))
        await self._change(ctx, plan_complete=True)
        return await self._execute_step(step, ctx.session, ctx.bot, ctx, leased.dest, "")

    async def _execute_step(  # noqa: PLR0917  # the specified call
        self,
        step: PlanStep,
        session: Session,  # noqa: ARG002  # part of the specified call; the context holds it
        bot: Bot,  # noqa: ARG002
        context: RunContext,
        dest: Destination,  # noqa: ARG002
        ctx_summary: str,
    ) -> ExecutorResponse:
        """Take one step of the run `context` through and end the run with it, unless it waits for a person."""
        context.summary = ctx_summary
        response = await self._dispatcher.take_through(context, step)
        if response.status is ResponseStatus.NEEDS_INPUT:
            await self._change(context, status=Status.WAITING_APPROVAL)
            await self._store.release_run(context.run.id, context.run.epoch)
            return response
        status = Status.COMPLETED if response.success else Status.FAILED
        await self._store.finish_run(
            context.run.id, context.run.epoch, status=status, answer=response.text, error=response.error
        )
        return response
