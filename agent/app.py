"""The composition root: the only module that knows every room. Tests reuse it with fakes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from agent import tracing
from agent.automation.joined import join_automation, time_zone_of
from agent.automation.times import persons_zone
from agent.channels.joined import join_chat
from agent.channels.outbox import OutboxBot, OutboxSender
from agent.channels.status_desk import Sources
from agent.channels.telegram.start import Checks
from agent.domain.session import Profile
from agent.orchestrator import OrchestratorRunner
from agent.parts import keep_servers, make_parts
from agent.pipelines import Pipelines
from agent.reception import Reception

if TYPE_CHECKING:
    from types import TracebackType

    from agent.automation.chains import Chains
    from agent.automation.pipelines import PipelineOrchestrator
    from agent.automation.saving import RunSaver
    from agent.automation.scheduler import AutomationScheduler
    from agent.catalogue import Catalogue
    from agent.channels.base import Channel
    from agent.config import AppConfig
    from agent.engine.protocol import Engine
    from agent.llm.protocol import LLM
    from agent.parts import Parts
    from agent.store.protocol import Store
    from sandbox.api import Rung
    from sandbox.boxes import Boxes


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
    _keeper: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self) -> None:
        """Open the journal and begin to work.

        Channels are added, and they, the sender and the automation are run, by the caller.
        """
        tracing.start(self.config.tracing)
        await self.orchestrator.start()
        if self._keeper is None:
            self._keeper = asyncio.create_task(keep_servers(self.config, self.catalogue), name="mcp servers")

    async def stop(self) -> None:
        """End all work in good order; what is unfinished goes on after the next start."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self.automation.stop()
        await self.sender.close()
        await self.orchestrator.stop()
        await self.boxes.close()
        if self.llm is not None:
            await self.llm.close()
        await self.store.close()
        await tracing.stop()

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


async def sandbox_of(config: AppConfig) -> Rung:
    """Return the protection in force, also where its owner does without. Raises SandboxError; see `rung_of`."""
    from agent.parts import sandbox_policy
    from sandbox.api import Rung
    from sandbox.boxes import rung_of

    policy = sandbox_policy(config)
    rung = await rung_of(policy)
    return Rung("unsafe", rung.stance, rung.remedy) if rung.name == "E" and policy.unsafe else rung


async def first_checks(config: AppConfig, llm: LLM | None) -> Checks:
    """Look whether model, speech and sandbox work; a model server is asked for its list, which costs nothing."""
    from agent.errors import ModelError
    from agent.llm.hearing import build_listener
    from agent.llm.openai_client import OpenAIModel
    from agent.parts import sandbox_policy
    from sandbox.api import Rung, SandboxError
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
    try:
        rung = await rung_of(sandbox_policy(config))
    except SandboxError as error:  # a sidecar that does not answer; all else works
        rung = Rung("✗", error.message, str(error))
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
    sender = OutboxSender(parts.store)
    bot = OutboxBot(parts.store, drafts=sender.drafts)
    orchestrator = OrchestratorRunner(config, parts, llm=llm, bot=bot)
    sender.here = orchestrator.sessions.delivered
    pipelines = Pipelines(config.folder / "pipelines", parts.catalogue, parts.store)
    reception = Reception(orchestrator, parts.store, parts.catalogue, _about(llm), pipelines=pipelines)
    automation = join_automation(config, parts, orchestrator, pipelines, with_model=llm is not None)
    reception.doors += automation.doors
    status = Sources(
        _about(llm),
        lambda: sandbox_of(config),
        orchestrator.said_of_workers,
        automation.scheduler.status,
        reception.pulses,
    )
    _join_chat(config, parts, orchestrator, reception, llm, status=status)
    return App(
        config=config,
        store=parts.store,
        catalogue=parts.catalogue,
        boxes=parts.boxes,
        engine=parts.engine,
        llm=llm,
        bot=bot,
        sender=sender,
        orchestrator=orchestrator,
        reception=reception,
        pipelines=pipelines,
        scheduled=automation.scheduled,
        chains=automation.chains,
        automation=automation.scheduler,
        saver=automation.saver,
    )


def _about(llm: LLM | None) -> str:
    return f"Model: {llm.name}" if llm is not None else "Model: none (offline)"


def _join_chat(
    config: AppConfig,
    parts: Parts,
    orchestrator: OrchestratorRunner,
    reception: Reception,
    llm: LLM | None,
    *,
    status: Sources,
) -> None:
    join_chat(
        config,
        parts,
        orchestrator,
        reception,
        zone_name=persons_zone(time_zone_of(config)),
        model_name=llm.name if llm is not None else "",
        models=lambda: models_of(llm),
        checks=lambda: first_checks(config, llm),
        plugins=lambda: plugin_commands(parts.catalogue),
        status=status,
    )
