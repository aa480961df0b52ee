"""Everything of an installation in one file, and back: the journal as of one moment, sessions, pipelines, plugins.

A `tar.gz` of plain files, with a manifest of their SHA-256 at its end. Going back, nothing of it is believed: names are
checked, only plain files are made, every digest is compared, and the home appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from agent import __version__
from agent.errors import ConfigError
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

JOURNAL = "journal.db"
SETTINGS = "dirigent.toml"
SECRETS = "secrets"
SESSIONS = "sessions"
MANIFEST = "MANIFEST.json"
FORMAT = 1
LEFT_OUT = frozenset({"bells", "described", "logs", "locks", "mirror"})  # of this process, or only of interest here
CHUNK = 1 << 20
MOST_MANIFEST = 256 << 20


@dataclass(slots=True)
class Report:
    """What went in or came out: how many files and bytes, and what was passed over, in words."""

    files: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)


def export(
    home: Path,
    target: Path,
    hidden: Iterable[str] | None = None,
    *,
    journal: Callable[[Path], object] | None = None,
    address: str = "",
    sessions: Path | None = None,
) -> Report:
    """Write everything in `home` to a new file `target`, readable by its owner only.

    `hidden` None means with all secrets; else `secrets/` is left out, and so is each line of the settings that holds
    one of the `hidden` values. It may be done while Dirigent works: the journal is that of one moment. Where it is no
    file in `home`, `journal` writes it to one, and the `address` of its database is left out of the settings.
    `sessions` is where the sessions' folders are when not in `home`. Raises ConfigError.
    """
    if journal is None and not (home / JOURNAL).is_file():
        raise ConfigError(f"There is no journal in {home}.", hint="Name the home with --home, or DIRIGENT_HOME.")
    if target.exists():
        raise ConfigError(f"{target} is there already.", hint="Name another file; nothing is written over.")
    report = Report()
    taken = journal or (lambda copy: _snapshot(home / JOURNAL, copy))
    partial = target.with_name(f".{target.name}.part")
    try:
        with open(partial, "xb", opener=_private) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            digests = {}
            for name, content, size in _contents(home, hidden, report, taken, address, sessions):
                digests[name] = _add(archive, name, content, size)
                report.files += 1
                report.size += size
            about = {"format": FORMAT, "dirigent": __version__, "at": time.time(), "sha256": digests}
            written = json.dumps(about, ensure_ascii=False, indent=0).encode()
            _add(archive, MANIFEST, io.BytesIO(written), len(written))
            archive.close()
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, target)  # fails when it came into being meanwhile
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror}.", hint="Is there space, and a folder?"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return report


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _contents(  # noqa: PLR0917 - what `export` was given
    home: Path,
    hidden: Iterable[str] | None,
    report: Report,
    journal: Callable[[Path], object],
    address: str,
    sessions: Path | None,
) -> Iterator[tuple[str, IO[bytes], int]]:
    with tempfile.TemporaryDirectory(prefix="dirigent-") as folder:
        copy = Path(folder, JOURNAL)
        journal(copy)
        with copy.open("rb") as file:
            yield JOURNAL, file, copy.stat().st_size
    for root, prefix in _roots(home, sessions, with_secrets=hidden is None):
        yield from _files(root, prefix, report)
    settings = home / SETTINGS
    if settings.is_file():
        values = [*(hidden or ()), *([address] if address else [])]
        text = _without(settings.read_text("utf-8"), values).encode() if values else settings.read_bytes()
        yield SETTINGS, io.BytesIO(text), len(text)


def _snapshot(journal: Path, copy: Path) -> None:
    """Copy a journal as of one moment, also while it is written to."""
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()


def _roots(home: Path, sessions: Path | None, *, with_secrets: bool) -> Iterator[tuple[Path, str]]:
    """Yield the folders of a home; each session for itself, since one may hold very many files."""
    yield from _sessions_in(sessions or home / SESSIONS)
    for place in sorted(home.iterdir()):
        left_out = place.name in LEFT_OUT or (place.name == SECRETS and not with_secrets)
        if place.is_symlink() or not place.is_dir() or left_out or place.name.startswith("."):
            continue
        if place.name != SESSIONS:
            yield place, f"{place.name}/"


def _sessions_in(place: Path) -> Iterator[tuple[Path, str]]:
    if place.is_dir():
        yield from ((each, f"{SESSIONS}/{each.name}/") for each in sorted(place.iterdir()) if each.is_dir())


def _files(root: Path, prefix: str, report: Report) -> Iterator[tuple[str, IO[bytes], int]]:
    with Workspace(root) as inside:
        found = inside.snapshot()
        if not found.complete:
            report.notes.append(f"{prefix}: too many files or too deep a tree; what is beyond is not in the archive")
        if found.skipped:
            report.notes.append(f"{prefix}: {found.skipped} links, devices or odd names were passed over")
        for path in sorted(found.files):
            try:
                with inside.open_read(path) as file:
                    yield prefix + path, file, os.fstat(file.fileno()).st_size
            except (SandboxError, OSError) as error:
                report.notes.append(f"{prefix}{path}: {error}")


def _without(settings: str, hidden: Iterable[str]) -> str:
    values = [value for value in hidden if value]
    return "".join(line for line in settings.splitlines(keepends=True) if not any(value in line for value in values))


class _Counted:
    """A file of which exactly `size` bytes are read, and hashed: what grows meanwhile is cut, what shrinks padded."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self.digest = hashlib.sha256()

    def read(self, amount: int = CHUNK) -> bytes:
        wanted = min(amount, self._left)
        data = self._file.read(wanted)
        while len(data) < wanted:
            more = self._file.read(wanted - len(data))
            data += more or b"\0" * (wanted - len(data))
        self._left -= wanted
        self.digest.update(data)
        return data


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> str:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
    counted = _Counted(content, size)
    archive.addfile(entry, counted)
    return counted.digest.hexdigest()


# --- back -----------------------------------------------------------------------------------------------------------
def restore(source: Path, home: Path) -> Report:
    """Make a home of an archive; `home` must be empty or not there yet. Raises ConfigError, and then it stays so."""
    if home.exists() and any(home.iterdir()):
        raise ConfigError(f"{home} is not empty.", hint="Name another home with --home, or move this one away.")
    home.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        report = _unpacked(source, made)
        if home.exists():
            home.rmdir()
        made.rename(home)
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigError(f"{source} is no whole archive of Dirigent's: {said}.", hint="Nothing was changed.") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return report


def _unpacked(source: Path, folder: Path) -> Report:
    report = Report()
    digests: dict[str, str] = {}
    about = None
    with tarfile.open(source, "r:gz") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is None or about is not None:
                raise ValueError(f"{entry.name!r} is no plain file, or comes after the manifest")
            if entry.name == MANIFEST:
                about = json.loads(content.read(MOST_MANIFEST))
                continue
            digests[entry.name] = _written(folder / _checked(entry.name), content)
            report.files += 1
            report.size += entry.size
    _compare(about, digests)
    return report


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name or "\\" in name:
        raise ValueError(f"{name!r} is no name for a file in a home")
    return path


def _written(path: Path, content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path, "xb", opener=_private) as file:
        while data := content.read(CHUNK):
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _compare(about: object, digests: dict[str, str]) -> None:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError("it has no manifest that this Dirigent knows")
    if about["sha256"] != digests:
        wrong = sorted(set(about["sha256"].items()) ^ set(digests.items()))
        raise ValueError(f"{wrong[0][0]!r} is not what was exported")
