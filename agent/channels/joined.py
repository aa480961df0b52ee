"""What a chat can do beside asking for things, joined: forms, replies, doing it again, people, settings, plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.channels.chat_settings import ChatSettings
from agent.channels.forms import FormsDesk
from agent.channels.memory_desk import MemoryDesk
from agent.channels.plugins_desk import PluginsDesk
from agent.channels.redo import RedoDesk
from agent.channels.run_desk import RunDesk
from agent.channels.skills_desk import SkillsDesk
from agent.channels.status_desk import StatusDesk
from agent.channels.telegram.desks import desks_of
from agent.channels.undo_desk import UndoDesk
from agent.domain.session import Profile
from agent.execution.pictures import PictureNotes
from agent.execution.replies import Replies
from agent.planning.request import PlanRequest
from agent.planning.suggestions import examples_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.channels.status_desk import Sources
    from agent.channels.telegram.start import Checks
    from agent.config import AppConfig
    from agent.orchestrator import OrchestratorRunner
    from agent.parts import Parts
    from agent.reception import Reception


def join_chat(
    config: AppConfig,
    parts: Parts,
    orchestrator: OrchestratorRunner,
    reception: Reception,
    *,
    zone_name: str,
    model_name: str,
    models: Callable[[], Awaitable[tuple[str, ...]]],
    checks: Callable[[], Awaitable[Checks]],
    plugins: Callable[[], Mapping[str, str]],
    status: Sources,
) -> None:
    """Put the desks of chats behind `reception`. `model_name` is that of the model in use; "" without one."""
    store, sessions, hear = parts.store, orchestrator.sessions, reception.hear
    forms = FormsDesk(store, parts.catalogue, sessions, hear, zone_name)
    memory = MemoryDesk(store, sessions)
    reception.asking += [PictureNotes(store).note, Replies(store, sessions).note, forms.answer, memory.answer]
    telegram = desks_of(
        config,
        store,
        hear,
        checks=checks,
        examples=lambda: examples_for(PlanRequest("", tools=tuple(parts.catalogue.tools(Profile())))),
        plugins=plugins,
        chat_settings=ChatSettings(sessions, zone_name, model_name, models),
    )
    undo = UndoDesk(store, sessions, orchestrator.versions)
    running = RunDesk(orchestrator, store, reception.begin, config.chat.while_running, models)
    redo, plugins_listed = RedoDesk(store, hear, orchestrator.stop_run), PluginsDesk(store, parts.catalogue)
    skills = SkillsDesk(store, sessions, orchestrator.skills, reception.begin)
    shown = StatusDesk(store, status)
    reception.doors += [redo, forms, memory, undo, plugins_listed, skills, shown, *telegram, running]
