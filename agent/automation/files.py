"""File triggers: every file that arrives whole in a watched folder fires once, also across restarts.

The journal remembers each file by its key, so what is noticed how often does not matter: a change in the folder, the
start of the process and a minute's rest all lead to the same look at what lies there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import mimetypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.automation.arrivals import Found, Patience, scan
from agent.domain.artifacts import Artifact
from agent.domain.provenance import Provenance
from agent.domain.trigger import Fire, Trigger, TriggerKind
from agent.errors import ConfigError
from agent.execution.toolbox import fingerprint
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.automation.launching import Launcher
    from agent.domain.session import Session
    from agent.store.protocol import Store

SETTLE = 1.0
LONGEST_SETTLE = 3_600
REST = 60.0
AT_ONCE = 16
STEP_MS = 200
AFTERWARDS = ("keep", "move", "ignore")
PROCESSED = "processed"


def check_files(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a file trigger's spec, complete. Raises ConfigError naming what is wrong."""
    folder = _folder(spec.get("folder"))
    if folder is None:
        raise ConfigError(f"The folder {str(spec.get('folder') or '')[:200]!r} is not there.", hint="Make it first.")
    pattern = str(spec.get("pattern") or "*")
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        raise ConfigError(f"The pattern {pattern!r} leads out of the folder.", hint="Give one such as *.csv.")
    afterwards = str(spec.get("afterwards") or "keep")
    if afterwards not in AFTERWARDS:
        raise ConfigError(f"Afterwards {afterwards!r} is not known.", hint=f"There are {', '.join(AFTERWARDS)}.")
    settle = spec.get("settle", SETTLE)
    if not isinstance(settle, int | float) or not 0 <= settle <= LONGEST_SETTLE:
        raise ConfigError(f"A rest of {settle!r} seconds cannot be.", hint=f"Use 0 to {LONGEST_SETTLE}.")
    return {
        **spec,
        "folder": str(folder.resolve()),
        "pattern": pattern,
        "afterwards": afterwards,
        "settle": float(settle),
    }


def _folder(named: object) -> Path | None:
    """Return a folder that is there."""
    try:
        folder = Path(str(named or "")).expanduser()
        return folder if named and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, of nobody, no path
        return None


class FileWatch:
    """Tends the folders of all enabled file triggers, or of those of one `channel`'s chats."""

    def __init__(self, store: Store, launcher: Launcher, clock: Callable[[], float], channel: str = "") -> None:
        self.channel = channel
        self._store = store
        self._launcher = launcher
        self._clock = clock
        self._looked = asyncio.Event()
        self._wanted: dict[str, Trigger] = {}
        self._woken: dict[str, asyncio.Event] = {}
        self._faults: dict[str, str] = {}
        self._rewatch = asyncio.Event()

    def look(self) -> None:
        """See which triggers there are now."""
        self._looked.set()

    def status(self) -> dict[str, str]:
        """Return trigger id → "watched", or what is wrong with its folder."""
        return {trigger_id: self._faults.get(trigger_id, "watched") for trigger_id in self._wanted}

    async def run(self) -> None:
        """Tend folders until cancelled."""
        self._wanted, self._woken, self._faults = {}, {}, {}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notice(), name="changes in folders")
            while True:
                self._looked.clear()
                found = {trigger.id: trigger for trigger in await self._store.triggers(kind=TriggerKind.FILE)}
                self._wanted = {trigger_id: trigger for trigger_id, trigger in found.items() if self._is_ours(trigger)}
                for trigger in self._wanted.values():
                    if trigger.id not in self._woken:
                        self._woken[trigger.id] = asyncio.Event()
                        group.create_task(self._tend(trigger), name=f"folder of {trigger.id}")
                for woken in self._woken.values():
                    woken.set()
                self._rewatch.set()
                await self._looked.wait()

    def _is_ours(self, trigger: Trigger) -> bool:
        return trigger.enabled and self.channel in {"", trigger.dest.channel}

    # --- noticing -----------------------------------------------------------------------------------------------
    async def _notice(self) -> None:
        """Wake the triggers in whose folders something changes."""
        while True:
            self._rewatch.clear()
            folders = {trigger.spec["folder"] for trigger in self._wanted.values()}
            there = [folder for folder in folders if Path(folder).is_dir()]  # noqa: ASYNC240 - one short call
            if not there:
                await self._rewatch.wait()
                continue
            try:
                await self._watch(there)
            except OSError as error:
                logger.warning("Folders can't be watched ({}); they are looked at every {:.0f} s", error, REST)
                await self._rewatch.wait()

    async def _watch(self, folders: list[str]) -> None:
        from watchfiles import awatch

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts changes, at the level of our news
        async for changes in awatch(
            *folders, watch_filter=None, stop_event=self._rewatch, step=STEP_MS, debounce=400, rust_timeout=10_000
        ):
            places = [path for _, path in changes]
            for trigger in self._wanted.values():
                prefix = trigger.spec["folder"].rstrip("/") + "/"
                if any(path.startswith(prefix) for path in places):
                    self._woken[trigger.id].set()

    # --- one folder ---------------------------------------------------------------------------------------------
    async def _tend(self, trigger: Trigger) -> None:
        patience = Patience(float(trigger.spec.get("settle", SETTLE)))
        done: set[str] = set()
        woken = self._woken[trigger.id]
        while trigger.id in self._wanted:
            woken.clear()
            try:
                waiting = await self._sweep(trigger, patience, done)
                self._found(trigger)
            except Exception as error:
                waiting = False
                if trigger.id not in self._faults:
                    logger.warning("The folder of trigger {} can't be looked at: {}", trigger.id, error)
                self._faults[trigger.id] = str(error)
            pause = min(REST, patience.settle / 4) if waiting else REST
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await woken.wait()
        del self._woken[trigger.id]

    def _found(self, trigger: Trigger) -> None:
        if self._faults.pop(trigger.id, None) is not None:  # the folder is back
            self._rewatch.set()

    async def _sweep(self, trigger: Trigger, patience: Patience, done: set[str]) -> bool:
        """Fire for every file that is new and whole; True when some have yet to become whole."""
        folder = Path(trigger.spec["folder"])
        if not await asyncio.to_thread(folder.is_dir):
            raise FileNotFoundError(f"the folder {folder} is gone")
        lying = await asyncio.to_thread(scan, folder, trigger.spec["pattern"], _processed(trigger))
        keys = {file.key(by_name=trigger.spec["afterwards"] == "ignore"): file for file in lying}
        done &= keys.keys()
        done |= await self._store.fired_keys(trigger.id, [key for key in keys if key not in done])
        if trigger.spec["afterwards"] == "move":  # a crash came between the fire and this
            for key in done:
                await asyncio.to_thread(put_away, trigger, keys[key])
        new = {key: file for key, file in keys.items() if key not in done}
        patience.forget_all_but({file.name for file in new.values()})
        whole = await asyncio.to_thread(_whole, folder, new, patience)
        slots = asyncio.Semaphore(AT_ONCE)
        fired = await asyncio.gather(*(self._arrived(trigger, key, new[key], slots) for key in whole))
        done.update(key for key, ok in zip(whole, fired, strict=True) if ok)
        return len(done & new.keys()) < len(new)

    async def _arrived(self, trigger: Trigger, key: str, file: Found, slots: asyncio.Semaphore) -> bool:
        async with slots:
            if trigger.id not in self._wanted:
                return False
            subject = file.name
            if "notice" not in trigger.target:
                session = await self._launcher.session_of(trigger)
                async with self._launcher.orchestrator.sessions.writing(session):
                    taken = await asyncio.to_thread(take_in, trigger, session, file)
                if taken is None:
                    return False
                await self._store.add_artifacts(session.id, None, "", [taken])
                subject = taken.path
            made: Fire | None = await self._launcher.fire(trigger, key, self._clock(), subject=subject)
            if trigger.spec["afterwards"] == "move":
                await asyncio.to_thread(put_away, trigger, file)
            if made is not None:
                logger.info("{} arrived for trigger {}", file.name, trigger.id)
            return True


def _whole(folder: Path, files: dict[str, Found], patience: Patience) -> list[str]:
    return [key for key, file in files.items() if patience.whole(folder, file)]


def _processed(trigger: Trigger) -> Path | None:
    """Return where files are moved afterwards, None when they stay."""
    if trigger.spec["afterwards"] != "move":
        return None
    folder = Path(trigger.spec["folder"])
    return folder / Path(str(trigger.spec.get("move_to") or PROCESSED)).expanduser()


def put_away(trigger: Trigger, file: Found) -> None:
    """Move a file that has fired; one that is gone, or has come anew under its name meanwhile, is left alone."""
    place = _processed(trigger)
    assert place is not None
    source = Path(trigger.spec["folder"]) / file.name
    try:
        seen = source.lstat()
    except OSError:
        return
    if (seen.st_ino, seen.st_size, seen.st_mtime_ns) != (file.inode, file.size, file.written_ns):
        return
    place.mkdir(parents=True, exist_ok=True)
    target = place / source.name
    number = 1
    while target.exists():
        number += 1
        target = place / f"{source.stem}-{number}{source.suffix}"
    with contextlib.suppress(FileNotFoundError):
        source.rename(target)


def take_in(trigger: Trigger, session: Session, file: Found) -> Artifact | None:
    """Copy a file into the session's workspace and return it, labelled; None when it has changed or gone meanwhile.

    The same bytes under the same name are not copied again: a crash may have come after the copy.
    """
    try:
        descriptor = os.open(Path(trigger.spec["folder"]) / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        name = _same(session, Path(file.name).name, digest)
        copied = not name
        if copied:
            source.seek(0)
            with Workspace(session.workspace) as workspace:
                name = workspace.copy_in(Path(f"/proc/self/fd/{descriptor}"), Path(file.name).name)
        now = os.fstat(descriptor)
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (file.inode, file.size, file.written_ns):
        if copied:
            with Workspace(session.workspace) as workspace:
                workspace.remove(name)
        return None
    label = Provenance.of(f"file:{name}", trusted=bool(trigger.spec.get("trusted", False)), private=True)
    mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Artifact(name, file.size, digest, mime, provenance=label)


def _same(session: Session, name: str, digest: str) -> str:
    try:
        return name if fingerprint(session, name)[1] == digest else ""
    except (OSError, SandboxError):
        return ""
