"""PipelineOrchestrator: keeps the triggers that pipelines declare as their files say; runs a pipeline for a ticket."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.automation.declared import DECLARED_OFF, Declarer, fields_of, same, steady
from agent.automation.times import local_zone
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.plan import OUTPUTS
from agent.domain.run import Origin
from agent.domain.states import FINAL, Status
from agent.errors import DirigentError

if TYPE_CHECKING:
    from agent.automation.scheduler import AutomationScheduler
    from agent.config import AppConfig
    from agent.domain.run import Run, StepRecord
    from agent.domain.trigger import Trigger
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines, Ready
    from agent.planning.pipeline import Pipeline
    from agent.store.protocol import Store

ON, OFF = "on", "off"
STEP_MS = 500
DEBOUNCE_MS = 2_000
MENTION = "triggers"


@dataclass(frozen=True, slots=True)
class Changes:
    """What `set_schedules` has done: names of triggers, and the pipelines whose files are wrong (name → why)."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """What came of a pipeline for one ticket. `results` holds step id → {status, output, text, error}."""

    ticket_id: str
    run: Run
    results: dict[str, dict[str, Any]]
    outputs: dict[str, Any]

    @property
    def status(self) -> Status:
        """How the run ended."""
        return self.run.status


class PipelineOrchestrator:
    """Pipelines at work. `clock` gives seconds since 1970."""

    def __init__(
        self,
        config: AppConfig,
        store: Store,
        pipelines: Pipelines,
        automation: AutomationScheduler,
        orchestrator: OrchestratorRunner,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store
        self._pipelines = pipelines
        self._automation = automation
        self._orchestrator = orchestrator
        self._clock = clock
        self._setting = asyncio.Lock()
        self.problems: dict[str, str] = {}

    # --- pipelines ----------------------------------------------------------------------------------------------
    def build_pipelines(self) -> dict[str, Ready]:
        """Return every pipeline that is in order, by name; `problems` then says what is wrong with the others.

        Blocks while files are read.
        """
        built: dict[str, Ready] = {}
        self.problems = {}
        for name in self._pipelines.names():
            try:
                built[name] = self._pipelines.load(name)
            except DirigentError as error:
                self.problems[name] = error.message
        return built

    async def is_on(self, name: str) -> bool:
        """Tell whether a pipeline's triggers fire: home ones unless switched off, shipped ones if switched on."""
        said = await self._store.get_value(_switch(name))
        place = self._pipelines.places().get(name)
        return said == ON if said else place is not None and not place.plugin

    async def switch(self, name: str, *, on: bool) -> list[str]:
        """Switch the triggers of the pipeline and of all that the plugin of this name ships; return their names.

        Raises NotFound.
        """
        places = self._pipelines.places()
        meant = [one for one, place in places.items() if name in {one, place.plugin}]
        if not meant:
            self._pipelines.file_of(name)  # says what there is
        for one in meant:
            await self._store.set_value(_switch(one), ON if on else OFF)
        await self.set_schedules()
        for trigger in await self._store.triggers():
            if trigger.source in meant and trigger.enabled is not on and not trigger.spec.get(DECLARED_OFF):
                await (self._automation.enable if on else self._automation.disable)(trigger.id)
        return meant

    # --- triggers -----------------------------------------------------------------------------------------------
    async def set_schedules(self) -> Changes:
        """Make the triggers what the files declare; twice is as once.

        A changed one keeps its history, and its next time unless its times changed; whether a person has paused it
        stays as it is. Those of a file that is wrong stay as they were.
        """
        async with self._setting:
            stored = {trigger.id: trigger for trigger in await self._store.triggers() if trigger.source}
            declarer = Declarer(await self.destination(), self._zone(), self._config.folder, self._clock())
            declared, wrong = await asyncio.to_thread(self._declared, declarer)
            created, changed = [], []
            for trigger in declared:
                try:
                    if (old := stored.pop(trigger.id, None)) is None:
                        if await self.is_on(trigger.source):
                            await self._automation.create(trigger)
                            created.append(trigger.name)
                    elif not same(old, steady(old, trigger)):
                        await self._change(old, trigger)
                        changed.append(trigger.name)
                except DirigentError as error:
                    wrong[trigger.source] = f"{trigger.name}: {error}"
            gone = [trigger for trigger in stored.values() if trigger.source not in wrong]
            for trigger in gone:
                await self._automation.delete(trigger.id)
            self.problems = wrong
            return Changes(tuple(created), tuple(changed), tuple(trigger.name for trigger in gone), dict(wrong))

    async def _change(self, old: Trigger, new: Trigger) -> None:
        switched = bool(old.spec.get(DECLARED_OFF)) is new.enabled  # the file itself switches it
        on = new.enabled and await self.is_on(new.source) if switched else old.enabled
        await self._automation.update(old.id, enabled=on, **fields_of(new))

    def _declared(self, declarer: Declarer) -> tuple[list[Trigger], dict[str, str]]:
        """Return the triggers of all files that are in order, and what is wrong with the others."""
        made: list[Trigger] = []
        wrong: dict[str, str] = {}
        for name, place in self._pipelines.places().items():
            try:
                if MENTION not in place.file.read_text(encoding="utf-8"):
                    continue
                pipeline, source = self._pipelines.read(place.file)
                if not pipeline.triggers:
                    continue
                self._pipelines.load(name)
            except (DirigentError, OSError, UnicodeDecodeError) as error:
                wrong[name] = str(getattr(error, "message", error))
                continue
            triggers, problems = declarer.triggers(name, pipeline, source)
            if problems:
                wrong[name] = "\n".join(problems)
            else:
                made += triggers
        return made, wrong

    def _zone(self) -> str:
        return local_zone(self._config.plugins.get("time", {}).get("time_zone", ""))

    async def destination(self) -> Destination:
        """Return where runs report that nobody asked for: `automation.report_to`, or else the first owner's chat."""
        wanted = self._config.automation.report_to
        if not wanted:
            bot = self._config.telegram_token is not None and bool(self._config.owners)
            return Destination("telegram", str(self._config.owners[0])) if bot else Destination("terminal", "main")
        for session in await self._store.sessions():
            if session["id"] == wanted:
                return Destination.from_json(session["dest"])
        channel, _, rest = wanted.partition(":")
        chat, _, thread = rest.partition(":")
        return Destination(channel, chat, thread, "group" if chat.startswith("-") else "private")

    # --- while it runs ------------------------------------------------------------------------------------------
    async def prepare(self) -> None:
        """Set the triggers, before an event that waits is held against rules that are not there yet."""
        await self._set_again(tell=False)

    async def run(self) -> None:
        """Set the triggers again whenever a file of the home's pipelines changes, until cancelled."""
        from watchfiles import awatch

        folder = self._pipelines.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts changes, at the level of our news
        while True:
            try:
                async for _ in awatch(folder, step=STEP_MS, debounce=DEBOUNCE_MS, rust_timeout=10_000):
                    await self._set_again(tell=True)
            except OSError as error:
                logger.warning("{} can't be watched ({}): `dirigent pipelines reload` reads it anew", folder, error)
                await asyncio.Event().wait()

    async def _set_again(self, *, tell: bool) -> None:
        before = dict(self.problems)
        try:
            changes = await self.set_schedules()
        except Exception as error:
            logger.opt(exception=error).error("the triggers of pipelines could not be set")
            return
        if changes.created or changes.changed or changes.deleted:
            logger.info("triggers of pipelines: {}", changes)
        for name, why in changes.problems.items():
            if before.get(name) != why:
                logger.warning("pipeline {}: {}", name, why)
                if tell:
                    await self._tell(name, why)

    async def _tell(self, name: str, why: str) -> None:
        """Tell whoever gets the reports that a file is wrong; once for each mistake."""
        dest = await self.destination()
        digest = hashlib.sha256(why.encode()).hexdigest()[:12]
        text = f"⚠️ The pipeline '{name}' is wrong; its triggers stay as they were.\n{why}"
        await self._store.post(
            OutboundMessage(
                dest, MessageKind.NOTICE, f"pipeline:{name}:{digest}", {"text": text}, session_id=dest.session_id
            )
        )

    # --- one ticket ---------------------------------------------------------------------------------------------
    async def process_ticket(
        self, ticket_id: str, pipeline: str | Pipeline | Ready, inputs: dict[str, Any] | None = None
    ) -> PipelineContext:
        """Run a pipeline for a ticket and return what came of it when the run has ended.

        `pipeline` is its name, a Pipeline, or one that is checked already. It gets the input `ticket_id` (when it has
        one) beside `inputs`. The run belongs to the session where automation reports. Raises DirigentError for a
        pipeline that is wrong or does not take its inputs; what fails in the run is in the result.
        """
        ready = await self._ready(pipeline)
        dest = await self.destination()
        session = await self._orchestrator.sessions.open(dest.session_id)
        await self._orchestrator.sessions.fetch(session)
        ticket = {"ticket_id": ticket_id} if "ticket_id" in ready.pipeline.inputs else {}
        given = ready.given({**(inputs or {}), **ticket}, session.workspace)
        run = await self._orchestrator.open_run(
            dest.session_id,
            f"/run {ready.name} for the ticket {ticket_id}" if ticket_id else f"/run {ready.name}",
            dest,
            origin=Origin.API,
            user_id=dest.chat_id,
            title=ready.name,
            given=given,
            source=ready.source,
        )
        await self._end_of(run)
        ended = await self._store.get_run(run.id)
        records = await self._store.get_steps(run.id)
        outputs = next((record.output for record in records if record.step.id == OUTPUTS), None)
        results = {record.step.id: _result(record) for record in records}
        return PipelineContext(ticket_id, ended, results, outputs if isinstance(outputs, dict) else {})

    async def _ready(self, pipeline: str | Pipeline | Ready) -> Ready:
        from agent.pipelines import Ready

        if isinstance(pipeline, Ready):
            return pipeline
        if isinstance(pipeline, str):
            return await self._pipelines.ready(pipeline)
        return await asyncio.to_thread(self._pipelines.check, pipeline)

    async def _end_of(self, run: Run) -> None:
        """Have a run carried out and return when it has ended, here or in another process."""
        ended = asyncio.Event()

        def tell(run_id: int) -> None:
            if run_id == run.id:
                ended.set()

        self._orchestrator.when_finished.append(tell)
        try:
            self._orchestrator.submit(run)
            while (await self._store.get_run(run.id)).status not in FINAL:
                try:
                    async with asyncio.timeout(30):
                        await ended.wait()
                except TimeoutError:
                    continue  # another process may have ended it
        finally:
            self._orchestrator.when_finished.remove(tell)


def _result(record: StepRecord) -> dict[str, Any]:
    return {
        "status": record.response_status or record.status.value,
        "output": record.output,
        "text": record.text,
        "error": record.error,
    }


def _switch(name: str) -> str:
    return f"pipeline:{name}:triggers"
