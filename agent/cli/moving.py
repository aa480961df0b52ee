"""`dirigent migrate-sessions`: sessions' files to another folder or storage, and back; safe to repeat."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig
    from agent.domain.session import Session
    from agent.mirror.mirror import Mirror

EXAMPLES = """\
examples:
  dirigent migrate-sessions --to s3://bucket/dirigent       from this home into the storage
  dirigent migrate-sessions --to /mnt/shared/sessions       from where they are into a folder
  dirigent migrate-sessions --to home                       back into sessions/ of this home

Stop Dirigent first. The source stays as it is; what is at the target already and has not changed is passed over, so it
may be repeated after whatever interrupted it. The endpoint, region and keys of a storage are those under [sessions] in
dirigent.toml. Afterwards set `sessions.storage` or `sessions.folder` as it says.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--to", required=True, metavar="PLACE", help="s3://bucket/prefix, a folder, or `home`")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Copy, and say how to use the copy. Raises ConfigError."""
    from agent.cli.opening import open_config

    return asyncio.run(_moved(open_config(arguments), arguments.to))


async def _moved(config: AppConfig, target: str) -> int:
    sessions = await sessions_here(config)
    if target.startswith("s3://"):
        await _into_storage(config, sessions, target)
        print(f'Now set `storage = "{target}"` under [sessions] in dirigent.toml, and no `folder`.')
        return 0
    folder = config.folder / "sessions" if target == "home" else Path(target).expanduser().absolute()  # noqa: ASYNC240
    for session in sessions:
        files, passed = await asyncio.to_thread(copy_folder, session.folder, folder / session.folder.name)
        _tell(session, files, passed)
    _tell_all(sessions, str(folder))
    where = (
        "`folder` and `storage` need not be set" if target == "home" else f'set `folder = "{folder}"`, no `storage`,'
    )
    print(f"Now {where} under [sessions] in dirigent.toml.")
    return 0


async def sessions_here(config: AppConfig) -> list[Session]:
    """Return all sessions with their files in `config.sessions_folder`, fetched where a storage keeps them.

    Raises StorageFailed or StorageUnusable.
    """
    from agent.housekeeping import mirror_of

    mirror = mirror_of(config)
    root = config.sessions_folder
    names = {place.name for place in root.iterdir() if place.is_dir()} if root.is_dir() else set()
    if mirror is not None:
        await mirror.check()
        names |= set(await mirror.sessions())
    found = [await _session(root / name, mirror) for name in sorted(names) if not name.startswith(".")]
    for session in found if mirror is not None else ():
        await _fetched(mirror, session)
    return found


async def _fetched(mirror: Mirror | None, session: Session) -> None:
    from agent.mirror.local import DELIVERED, VERSIONS

    if mirror is not None:
        await mirror.fetch(session, more=(DELIVERED, VERSIONS), patience=60.0)


async def _session(folder: Path, mirror: Mirror | None) -> Session:
    """Return a session by its folder alone; of its file only the name of the workspace matters here."""
    from agent.domain.session import Profile, Session
    from agent.errors import ConfigError
    from agent.memory.session_file import FILE_NAME, load

    if mirror is not None:
        await mirror.refresh(folder, FILE_NAME, patience=60.0)
    try:
        working = str((await load(folder))["working_folder"])
    except ConfigError as error:
        print(f"  {error}")
        working = "work"
    return Session(folder.name, folder, Profile(), working_folder=working)


async def _into_storage(config: AppConfig, sessions: list[Session], target: str) -> None:
    from agent.errors import ConfigError
    from agent.memory.memory import FILE_NAME as MEMORY
    from agent.memory.memory import merged
    from agent.mirror.opening import open_mirror

    settings = config.sessions.model_copy(update={"storage": target, "folder": None})
    try:
        type(config.sessions).model_validate({**settings.model_dump(exclude={"folder"}), "folder": None})
    except ValueError:
        raise ConfigError(f"{target} is no address of a storage.", hint="Such as s3://bucket/prefix.") from None
    mirror = open_mirror(config, {MEMORY: merged}, settings)
    await mirror.check()
    for session in sessions:
        await mirror.keep(session, patience=60.0)
        _tell(session, sum(path.is_file() and not path.is_symlink() for path in session.folder.rglob("*")), 0)
    _tell_all(sessions, target)


def copy_folder(source: Path, target: Path) -> tuple[int, int]:
    """Copy a session's regular files; return how many were copied, and how many were there already, byte for byte."""
    import filecmp
    import os

    from sandbox.workspace import Workspace

    copied = passed = 0
    if source == target:
        return copied, passed
    with Workspace(source) as old, Workspace(target) as new:
        found, there = old.snapshot(packages=True).files, new.snapshot(packages=True).files
        for path in sorted(found):
            same = path in there and there[path].size == found[path].size
            if same and filecmp.cmp(source / path, target / path, shallow=False):
                passed += 1
                continue
            with old.open_read(path) as file:
                status = os.fstat(file.fileno())
                new.put(path, file, status.st_mode, modified_ns=status.st_mtime_ns)
            copied += 1
    return copied, passed


def _tell(session: Session, files: int, passed: int) -> None:
    more = f", {passed} there already" if passed else ""
    print(f"  {session.folder.name}: {files} files{more}")


def _tell_all(sessions: list[Session], target: str) -> None:
    print(f"{len(sessions)} sessions are in {target}.")
