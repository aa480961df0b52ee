"""Plugins that do not come with us: described inside a box of their own, or imported when the owner trusts them.

Each is imported in a box that has no network, no secret and an empty workspace, and ends with the description. What it
said is kept in `described/` of the home under the hash of its files, so that an unchanged plugin costs nothing at a
start. What is wrong with a plugin is kept too; `again` tries such ones anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.catalogue.trusting import WAY_ON, doubt, pins, replace_file
from plugins.api import PluginError
from plugins.described import plugin_of, seen
from plugins.describing import FORMAT
from plugins.loader import LoadedPlugin, Place, imported

if TYPE_CHECKING:
    from agent.config import AppConfig
    from sandbox.api import JobResult, Policy

FOLDER, WORK = "described", "work-"
AT_ONCE = 3
SECONDS, CPU_SECONDS = 45.0, 30
DISK_MB = 64
PRINTED = 100_000
OLD_S = 86_400.0
ENDINGS = {
    "timeout": f"its import did not end within {SECONDS:g} s; a module must not wait for anything or leave threads. "
    "`dirigent plugins` tries it again",
    "oom": "its import needed more memory than a step may use (sandbox.memory_mb)",
    "disk": f"its import wrote more than {DISK_MB} MB",
    "pids": "its import started more processes than a step may",
    "output": "its import printed more than it may",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A plugin that is not trusted: where it is, the hash of its files, and what its owner should know of it."""

    place: Place
    sha256: str
    note: str


class Strangers:
    """Reads plugins (`plugins.loader.Read`) as the owner's configuration says."""

    def __init__(self, config: AppConfig, *, again: bool = False) -> None:
        self._config = config
        self._again = again
        self._folder = config.folder / FOLDER
        # A sidecar shares the sessions' folder with us, and no other.
        self._work = self._folder if config.sandbox.sidecar is None else config.sessions_folder / f".{FOLDER}"
        self._pins = pins(config.folder)

    def __call__(self, places: Sequence[Place]) -> list[LoadedPlugin]:
        """Return a plugin for each place; `error` says what is wrong. Never raises for a plugin."""
        told: dict[str, LoadedPlugin] = {}
        asked: list[_Asked] = []
        for place in places:
            one = self._at_once(place)
            if isinstance(one, _Asked):
                asked.append(one)
            else:
                told[place.source] = one
        if asked:
            told |= in_own_loop(lambda: self._all_described(asked))
        return _settled(self._config.mcp, [(place, told[place.source]) for place in places])

    def _at_once(self, place: Place) -> LoadedPlugin | _Asked:
        """Return a plugin that is trusted or known; else what there is to ask."""
        try:
            sha256 = place.digest()
        except OSError as error:
            return _broken(place, f"its files can't be read: {error.strerror or error}.", "")
        note = doubt(place.name, sha256, self._config.trusted_plugins, self._pins)
        if note is None:
            return imported(place)
        asked = _Asked(place, sha256, note)
        return self._known(asked) or asked

    # --- what was said before -----------------------------------------------------------------------------------
    def _file(self, place: Place) -> Path:
        return self._folder / f"{hashlib.sha256(place.source.encode()).hexdigest()[:32]}.json"

    def _known(self, asked: _Asked) -> LoadedPlugin | None:
        try:
            kept = json.loads(self._file(asked.place).read_text(encoding="utf-8"))
            if not asked.sha256 or kept["key"] != _key(asked):
                return None
            if "problem" not in kept:
                return _made(asked, kept["said"])
            return None if self._again else _broken(asked.place, str(kept["problem"]), asked.sha256)
        except (OSError, ValueError, KeyError, TypeError, PluginError):  # also what is damaged is only asked anew
            return None

    def _keep(self, asked: _Asked, said: dict[str, Any]) -> None:
        """Keep what was said, unless its files have changed while it was."""
        try:
            if asked.sha256 and asked.place.digest() == asked.sha256:
                kept = {"key": _key(asked), "source": asked.place.source, **said}
                replace_file(self._file(asked.place), json.dumps(kept, ensure_ascii=False))
        except OSError as error:
            logger.warning("what the plugin {} is can't be kept: {}", asked.place.name, error.strerror)

    # --- asking -------------------------------------------------------------------------------------------------
    async def _all_described(self, asked: Sequence[_Asked]) -> dict[str, LoadedPlugin]:
        room = asyncio.Semaphore(AT_ONCE)
        found: dict[str, LoadedPlugin] = {}

        async def one(question: _Asked) -> None:
            async with room:
                found[question.place.source] = await self._described(question)

        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clear_away()
        async with asyncio.TaskGroup() as tasks:
            for question in asked:
                tasks.create_task(one(question))
        return found

    async def _described(self, asked: _Asked) -> LoadedPlugin:
        from sandbox.api import SandboxError

        place = asked.place
        try:
            result = await self._in_a_box(place)
        except OSError as error:
            return _broken(place, f"it can't be looked at now: {error.strerror or error}.", asked.sha256)
        except SandboxError as error:
            way_on = f"{error.remedy} Or, if you trust it fully: {WAY_ON.format(place.name)}.".strip()
            said = f"it can't be looked at, because nothing safe is available here: {error.message} {way_on}"
            return _broken(place, said, asked.sha256)
        try:
            plugin = _made(asked, _value(result))
        except PluginError as problem:
            self._keep(asked, {"problem": str(problem)})
            return _broken(place, str(problem), asked.sha256)
        self._keep(asked, {"said": result.value})
        logger.info("the plugin {} was described in a box: {} tools", plugin.name, len(plugin.tools))
        return plugin

    async def _in_a_box(self, place: Place) -> JobResult:
        """Have a plugin described in a box that nobody else uses. Raises SandboxError."""
        from sandbox.api import Job, JobStatus, Limits, SandboxError, ToolCall
        from sandbox.boxes import open_sandbox
        from sandbox.tools import DESCRIBE

        limits = Limits(
            wall_s=SECONDS,
            cpu_s=CPU_SECONDS,
            memory_mb=self._config.sandbox.memory_mb,
            disk_mb=DISK_MB,
            output_bytes=PRINTED,
        )
        job = Job("tool", tool=ToolCall(place.source, DESCRIBE, {"name": place.name}), limits=limits)
        work = Path(tempfile.mkdtemp(prefix=WORK, dir=self._work))
        try:
            async with await open_sandbox(work.name, work, self._policy(place)) as box:
                if box.rung.name == "E":
                    raise SandboxError(f"rung E, {box.rung.stance}.", remedy=box.rung.remedy)
                result = await box.run(job)
        finally:
            _remove(work)
        if result.status is JobStatus.REFUSED:
            raise SandboxError(result.stderr.text)
        return result

    def _policy(self, place: Place) -> Policy:
        from sandbox.api import Policy

        box = self._config.sandbox
        folder = place.path.parent if place.path is not None and place.source.startswith("/") else None
        return Policy(
            plugin_folders=(folder,) if folder else (),
            disk_mb=DISK_MB,
            unsafe=box.unsafe,
            tool_hosts=(),
            first_user=box.first_user,
            users=box.users,
            sidecar=box.sidecar,
        )

    def _clear_away(self) -> None:
        """Remove the workspaces that a killed process left."""
        for left in self._work.glob(f"{WORK}*"):
            if left.lstat().st_mtime < time.time() - OLD_S:
                _remove(left)


def _settled(servers: Iterable[str], found: Sequence[tuple[Place, LoadedPlugin]]) -> list[LoadedPlugin]:
    """Return the plugins; of those that give themselves the name of another, none but who has it by its file keeps it.

    What the owner has said and agreed to is kept by name: nobody may slip into one.
    """
    by_file = {name.casefold(): f"the MCP server {name}" for name in servers}
    by_file |= {place.name.casefold(): place.source for place, _ in reversed(found)}
    named = Counter(plugin.name.casefold() for _, plugin in found)
    settled = []
    for place, plugin in found:
        name = plugin.name.casefold()
        own = name == place.name.casefold() or (plugin.trusted and name not in by_file)
        if own or (name not in by_file and named[name] == 1):
            settled.append(plugin)
            continue
        others = [other.source for other, one in found if one.name.casefold() == name and other is not place]
        reason = f"the name '{plugin.name}' is that of {by_file.get(name) or others[0]}; give it another one."
        settled.append(_broken(place, plugin.error or reason, plugin.sha256))
    return settled


def _made(asked: _Asked, said: object) -> LoadedPlugin:
    plugin = plugin_of(said, source=asked.place.source, sha256=asked.sha256)
    return replace(plugin, note=asked.note) if asked.note else plugin


def _value(result: JobResult) -> object:
    """Return what a plugin said. Raises PluginError with what went wrong."""
    ended = f"its import ended the process ({result.status}, code {result.code})"
    if result.failure is not None:
        if result.failure.get("type") == "NoResult":
            raise PluginError(f"{ended}.")
        raise PluginError(seen(f"{result.failure.get('type', '')}: {result.failure.get('message', '')}"))
    if result.ok:
        return result.value
    ending = ENDINGS.get(result.status.value, ended)
    said = seen(result.stderr.text[-400:].strip())
    raise PluginError(f"{ending}." + (f" It said: {said}" if said else ""))


def _broken(place: Place, reason: str, sha256: str) -> LoadedPlugin:
    logger.warning("plugin {} is left out: {}", place.name, reason)
    return LoadedPlugin(place.name, place.source, error=reason, sha256=sha256)


def _key(asked: _Asked) -> str:
    """Return what a description depends on: the files, how it is told, and which libraries are installed."""
    from sandbox.layout import site_folders

    libraries = [(str(folder), folder.stat().st_mtime_ns) for folder in site_folders()]
    parts = [FORMAT, sys.version, asked.place.name, asked.place.source, asked.sha256, libraries]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _remove(work: Path) -> None:
    """Remove a workspace, however deep and whatever was put into it."""
    from sandbox.workspace import Workspace

    with contextlib.suppress(OSError):
        with Workspace(work) as inside:
            inside.clear()
        work.rmdir()


def in_own_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine to its end in a thread with a loop of its own, whether or not this one has a loop that runs."""
    outcome: list[Any] = []
    problem: list[BaseException] = []
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def followed() -> None:
        task = asyncio.current_task()
        assert task is not None
        begun.append((asyncio.get_running_loop(), task))
        outcome.append(await work())

    def run() -> None:
        try:
            asyncio.run(followed())
        except BaseException as error:  # told to who waits
            problem.append(error)

    thread = threading.Thread(target=run, name="plugins", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:  # such as Ctrl-C: what was started ends first
        for loop, task in begun:
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if problem:
        raise problem[0]
    return outcome[0]
