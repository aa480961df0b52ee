"""What the orchestrator keeps between runs: sessions, memory, recorded messages, and what plugins offer a profile."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.provenance import HISTORY, Provenance
from agent.domain.session import Profile, Session
from agent.errors import DirigentError, reference_id
from agent.llm.protocol import ChatMessage, LLMRequest
from agent.memory import session_file
from agent.memory.memory import FILE_NAME as MEMORY
from agent.memory.memory import SessionMemory, merged
from agent.skills import Skills

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.states import Status
    from agent.execution.context import RunContext
    from agent.llm.protocol import LLM
    from agent.mirror.mirror import Mirror

CONTEXT_ENTRIES = 25
CONTEXT_CHARS = 6_000
MESSAGES_KEPT = 200
# A sentence that may hold something to remember; only then is a model asked to look.
TELLING = re.compile(
    r"\b(remember|from now on|always|never|i prefer|i like|i live|my name|call me|we agreed|we decided|merk|immer|"
    r"ich bevorzuge|je préfère|souviens|toujours|запомни|всегда|предпочитаю)\b|记住|以后|总是",
    re.IGNORECASE,
)


class Housekeeping:
    """The part of the orchestrator that no run owns."""

    def __init__(self, config: AppConfig, catalogue: Catalogue, llm: LLM | None) -> None:
        self._config = config
        self._catalogue = catalogue
        self._llm = llm
        self._log = logger
        self._messages: dict[str, deque[int]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self.skills = Skills.of(config)
        self.sessions = session_file.SessionFolders(
            config.sessions_folder, Profile(plugins=config.profile_plugins), mirror_of(config)
        )

    def _load_session(self, cwd: str) -> dict[str, Any]:
        """Return the contents of SESSION.json in a session's folder, validated; defaults when there is none."""
        return session_file.load_now(Path(cwd))

    def _build_orchestrator_context(self, session_data: Mapping[str, Any], task_key: str) -> str:
        """Return the history of a task key as text: the newest 25 entries, oldest first, within 6,000 characters."""
        lines: list[str] = []
        left = CONTEXT_CHARS
        for entry in reversed(session_data.get("history", {}).get(task_key, [])[-CONTEXT_ENTRIES:]):
            line = f"{entry['at'][:16]} asked: {entry['request']}\n  → {entry['status']}: {entry['outcome']}"
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        return "\n".join(reversed(lines))

    async def _session_data(self, session: Session) -> dict[str, Any]:
        return (await self.sessions.file_of(session)).model_dump(mode="json")

    def record_message(self, chat_id: int, message_id: int) -> None:
        """Remember a message that was sent, so that it can be referred to or edited; the newest 200 of a chat."""
        self._messages.setdefault(str(chat_id), deque(maxlen=MESSAGES_KEPT)).append(message_id)

    def messages_of(self, chat_id: int) -> list[int]:
        """Return the recorded messages of a chat, oldest first."""
        return list(self._messages.get(str(chat_id), ()))

    def clear_session_cache(self, session_id: str) -> None:
        """Forget what is cached of a session; its file is read again the next time."""
        self.sessions.forget(session_id)

    def get_plugin_commands(self, profile: Any) -> dict[str, Any]:
        """Return the commands of plugins that a profile may use: name → description, plugin, parameters."""
        return self._catalogue.get_plugin_commands(Profile.model_validate(profile or {}))

    def get_plugin_ui(self, profile: Any) -> dict[str, Any]:
        """Return the UI of plugins that a profile may use, as data: plugin → menus and forms."""
        return self._catalogue.get_plugin_ui(Profile.model_validate(profile or {}))

    async def _maybe_update_memory(self, user_text: str, final_response: str, memory_text: str, cwd: str) -> None:
        """Learn lasting facts from the person's own words when they hold some, and compress a long memory.

        `final_response` and `memory_text` are only looked at for emptiness: what a model or a page said is never
        learned. Raises what the model or the file raises.
        """
        if final_response or memory_text:
            memory = SessionMemory(Path(cwd))
            await _update_memory(self._llm, user_text if final_response else "", memory_text, memory)

    async def _remember(self, ctx: RunContext, answer: str) -> None:
        memory = self.sessions.memory(ctx.session)
        try:
            await _update_memory(ctx.llm, ctx.run.request if answer else "", await memory.text(), memory)
        except (DirigentError, OSError, ValueError) as error:
            self._log.warning("{}: the memory was not updated: {}", ctx.run.corr_id, error)

    async def _keep_history(  # one entry's fields
        self,
        ctx: RunContext,
        task_key: str,
        outcome: str,
        status: Status,
        made_of: Provenance,
    ) -> None:
        """Note what came of a run. The run has ended and its answer is out: a full disk must not undo that."""
        said, private = ctx.run.request, made_of.knows_private
        try:
            await self.sessions.add_history(
                ctx.session, task_key, said, outcome, status.value, untrusted=made_of.untrusted_names, private=private
            )
        except (DirigentError, OSError, ValueError) as error:
            self._log.warning("{}: the history was not written: {}", ctx.run.corr_id, error)

    @staticmethod
    def _history_label(session_data: Mapping[str, Any], task_key: str) -> Provenance:
        """Return what a planner takes on that reads the history: answers carry what they were made of."""
        entries = session_data.get("history", {}).get(task_key, [])[-CONTEXT_ENTRIES:]
        names = {name for entry in entries for name in entry.get("untrusted", ())}
        known = [HISTORY] if any(entry.get("private") for entry in entries) else []
        return Provenance.union([*known, *(Provenance.of(name, trusted=False) for name in sorted(names))])

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._look_back)

    def _look_back(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("{} something in the background failed: {!r}", reference_id(), error)


def mirror_of(config: AppConfig) -> Mirror | None:
    """Return what keeps the sessions' files in the storage that is set; None where they are in a folder alone."""
    if not config.sessions.storage:
        return None
    from agent.mirror.opening import open_mirror

    return open_mirror(config, {MEMORY: merged})


async def _update_memory(llm: LLM | None, user_text: str, memory_text: str, memory: SessionMemory) -> None:
    """Learn and compress by a model: a run's own, so that the calls are charged to it, where there is one."""
    complete = None if llm is None else partial(_complete, llm)
    if complete is not None and TELLING.search(user_text):
        await memory.learn(user_text, complete)
    if memory_text:
        await memory.compress(complete)


async def _complete(llm: LLM, system: str, text: str) -> str:
    messages = (ChatMessage("system", system), ChatMessage("user", text))
    return (await llm.complete(LLMRequest("memory", messages))).text
