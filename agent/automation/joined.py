"""What starts runs by itself, joined: triggers, pipelines, chains, what people save from runs, and their desks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.automation.awaited import Awaited
from agent.automation.bell import Bell, Rings
from agent.automation.chains import Chains
from agent.automation.chat import ScheduleDesk
from agent.automation.desks import ChainsDesk, EventsDesk, PipelinesDesk, ProjectsDesk
from agent.automation.grants_desk import GrantsDesk
from agent.automation.pipelines import PipelineOrchestrator
from agent.automation.saving import RunSaver
from agent.automation.saving_desk import SavingDesk
from agent.automation.scheduler import AutomationScheduler
from agent.automation.times import persons_zone
from agent.automation.webhook import Hooks
from agent.parts import journal_of

if TYPE_CHECKING:
    from agent.config import AppConfig
    from agent.domain.messages import Door
    from agent.orchestrator import OrchestratorRunner
    from agent.parts import Parts
    from agent.pipelines import Pipelines


@dataclass(frozen=True, slots=True)
class Automation:
    """The room's parts; `doors` are its commands and buttons for a chat."""

    scheduler: AutomationScheduler
    scheduled: PipelineOrchestrator
    chains: Chains
    saver: RunSaver
    doors: list[Door]


def join_automation(
    config: AppConfig, parts: Parts, orchestrator: OrchestratorRunner, pipelines: Pipelines, *, with_model: bool
) -> Automation:
    """Join the room by a configuration. Nothing is started yet."""
    store, folder = parts.store, config.folder
    bell, hooks = bell_of(config), Hooks(folder / "secrets" / "webhooks")
    scheduler = AutomationScheduler(store, orchestrator, pipelines=pipelines, bell=bell, hooks=hooks)
    scheduled = PipelineOrchestrator(config, store, pipelines, scheduler, orchestrator)
    scheduler.preparations.append(scheduled.prepare)
    scheduler.companions.append(scheduled.run)
    chains = Chains(store, pipelines, orchestrator)
    saver = RunSaver(store, parts.catalogue, pipelines, scheduler, folder / "pipelines", with_model=with_model)
    time_zone = time_zone_of(config)
    zone_name = persons_zone(time_zone)
    schedules = ScheduleDesk(scheduler, store, time.time, time_zone, sessions=orchestrator.sessions)
    doors: list[Door] = [
        ProjectsDesk(store, scheduler),
        EventsDesk(store, scheduler, zone_name),
        ChainsDesk(store, chains, zone_name),
        PipelinesDesk(store, pipelines, scheduled),
        GrantsDesk(store, pipelines),
        SavingDesk(saver, store, schedules, Awaited(store)),
        schedules,
    ]
    return Automation(scheduler, scheduled, chains, saver, doors)


def bell_of(config: AppConfig) -> Rings:
    """Return the bell between the processes that have this journal."""
    from agent.store.dialect import is_server, url_of
    from agent.store.server_bell import ServerBell

    url = url_of(journal_of(config))
    return ServerBell(url) if is_server(url) else Bell(config.folder / "bells")


def time_zone_of(config: AppConfig) -> str:
    """Return the time zone that the owner has set; "" when none is."""
    return str(config.plugins.get("time", {}).get("time_zone", ""))
