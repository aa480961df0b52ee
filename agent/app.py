"""The composition root: the only module that knows every room. Tests reuse it with fakes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from agent.automation.awaited import Awaited
from agent.automation.bell import Bell
from agent.automation.chains import Chains
from agent.automation.chat import ScheduleDesk
from agent.automation.desks import ChainsDesk, EventsDesk, PipelinesDesk, ProjectsDesk
from agent.automation.pipelines import PipelineOrchestrator
from agent.automation.saving import RunSaver
from agent.automation.saving_desk import SavingDesk
from agent.automation.scheduler import AutomationScheduler
from agent.automation.times import persons_zone
from agent.automation.webhook import Hooks
from agent.catalogue import Catalogue
from agent.channels.chat_settings import ChatSettings
from agent.channels.forms import FormsDesk
from agent.channels.outbox import OutboxBot, OutboxSender
from agent.channels.redo import RedoDesk
from agent.channels.run_desk import RunDesk
from agent.channels.telegram.desks import desks_of
from agent.channels.telegram.start import Checks
from agent.domain.session import Profile
from agent.execution.pictures import PictureNotes
from agent.execution.replies import Replies
from agent.orchestrator import OrchestratorRunner
from agent.parts import make_parts
from agent.pipelines import Pipelines
from agent.planning.request import PlanRequest
from agent.planning.suggestions import examples_for
from agent.reception import Reception
from sandbox.boxes import Boxes

if TYPE_CHECKING:
    from types import TracebackType

    from agent.channels.base import Channel
    from agent.config import AppConfig
    from agent.engine.protocol import Engine
    from agent.llm.protocol import LLM
    from agent.store.protocol import Store


@dataclass(slots=True)
class App:
    """Everything, joined. `reception` is what channels hand their messages to. Use it as an async context manager."""

    config: AppConfig
    store: Store
    catalogue: Catalogue
    boxes: Boxes
    engine: Engine
    llm: LLM | None
    bot: OutboxBot
    sender: OutboxSender
    orchestrator: OrchestratorRunner
    reception: Reception
    pipelines: Pipelines
    scheduled: PipelineOrchestrator
    chains: Chains
    automation: AutomationScheduler
    saver: RunSaver

    async def start(self) -> None:
        """Open the journal and begin to work.

        Channels are added, and they, the sender and the automation are run, by the caller.
        """
        await self.orchestrator.start()

    async def stop(self) -> None:
        """End all work in good order; what is unfinished goes on after the next start."""
        await self.automation.stop()
        await self.orchestrator.stop()
        await self.boxes.close()
        if self.llm is not None:
            await self.llm.close()
        await self.store.close()

    async def add_channel(self, channel: Channel) -> None:
        """Have a channel's messages delivered, and its unfinished runs taken up."""
        self.bot.add(channel)
        self.sender.add(channel)
        await self.orchestrator.resume(channel.name)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def plugin_commands(catalogue: Catalogue) -> dict[str, str]:
    """Return the commands of plugins, without slash, and what each does, in a line."""
    found = catalogue.get_plugin_commands(Profile())
    return {name: str(entry.get("description", "")).split("\n")[0] for name, entry in found.items()}


async def models_of(llm: LLM | None) -> tuple[str, ...]:
    """Return the names of the models that the server in use has; none without a server. Raises ModelError."""
    from agent.llm.openai_client import OpenAIModel

    return await llm.models() if isinstance(llm, OpenAIModel) else ()


async def first_checks(config: AppConfig, llm: LLM | None) -> Checks:
    """Look whether model, speech and sandbox work; a model server is asked for its list, which costs nothing."""
    from agent.errors import ModelError
    from agent.llm.hearing import build_listener
    from agent.llm.openai_client import OpenAIModel
    from agent.parts import sandbox_policy
    from sandbox.boxes import rung_of

    reachable = None if llm is None else True
    if isinstance(llm, OpenAIModel):
        try:
            await llm.models()
        except ModelError:
            reachable = False
    listener = build_listener(config, llm)
    voice = False
    if listener is not None:
        voice = reachable is not False and await listener.available()
        await listener.close()
    rung = await rung_of(sandbox_policy(config))
    return Checks("none" if llm is None else llm.name, reachable, voice, rung.name, rung.remedy)


def build_app(
    config: AppConfig,
    *,
    llm: LLM | None = None,
    store: Store | None = None,
    catalogue: Catalogue | None = None,
    engine: Engine | None = None,
    boxes: Boxes | None = None,
) -> App:
    """Join the rooms by a configuration. Nothing is opened or started yet. `llm` None means the offline planner."""
    parts = make_parts(config, store=store, catalogue=catalogue, boxes=boxes, engine=engine)
    bot = OutboxBot(parts.store)
    orchestrator = OrchestratorRunner(config, parts, llm=llm, bot=bot)
    about = f"Model: {llm.name}" if llm is not None else "Model: none (offline)"
    pipelines = Pipelines(config.folder / "pipelines", parts.catalogue, parts.store)
    reception = Reception(orchestrator, parts.store, parts.catalogue, about, pipelines=pipelines)
    sender = OutboxSender(parts.store)

    bell = Bell(config.folder / "bells")
    hooks = Hooks(config.folder / "secrets" / "webhooks")
    automation = AutomationScheduler(parts.store, orchestrator, pipelines=pipelines, bell=bell, hooks=hooks)
    scheduled = PipelineOrchestrator(config, parts.store, pipelines, automation, orchestrator)
    automation.preparations.append(scheduled.prepare)
    automation.companions.append(scheduled.run)
    chains = Chains(parts.store, pipelines, orchestrator)
    zone_name = persons_zone(config.plugins.get("time", {}).get("time_zone", ""))
    reception.doors += [
        ProjectsDesk(parts.store, automation),
        EventsDesk(parts.store, automation, zone_name),
        ChainsDesk(parts.store, chains, zone_name),
        PipelinesDesk(parts.store, pipelines, scheduled),
    ]
    time_zone = config.plugins.get("time", {}).get("time_zone", "")
    schedules = ScheduleDesk(automation, parts.store, time.time, time_zone, sessions=orchestrator.sessions)
    saver = RunSaver(
        parts.store, parts.catalogue, pipelines, automation, config.folder / "pipelines", with_model=llm is not None
    )
    reception.doors += [SavingDesk(saver, parts.store, schedules, Awaited(parts.store)), schedules]
    forms = FormsDesk(parts.store, parts.catalogue, orchestrator.sessions, reception.hear, zone_name)
    replies = Replies(parts.store, orchestrator.sessions)
    reception.asking += [PictureNotes(parts.store).note, replies.note, forms.answer]
    redo = RedoDesk(parts.store, reception.hear, orchestrator.stop_run)
    reception.doors += [
        redo,
        forms,
        *desks_of(
            config,
            parts.store,
            reception.hear,
            checks=lambda: first_checks(config, llm),
            examples=lambda: examples_for(PlanRequest("", tools=tuple(parts.catalogue.tools(Profile())))),
            plugins=lambda: plugin_commands(parts.catalogue),
            chat_settings=ChatSettings(
                orchestrator.sessions, zone_name, llm.name if llm else "", lambda: models_of(llm)
            ),
        ),
        RunDesk(orchestrator, parts.store, reception.begin, config.chat.while_running, lambda: models_of(llm)),
    ]
    return App(
        config,
        parts.store,
        parts.catalogue,
        parts.boxes,
        parts.engine,
        llm,
        bot,
        sender,
        orchestrator,
        reception,
        pipelines,
        scheduled,
        chains,
        automation,
        saver,
    )
