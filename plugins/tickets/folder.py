"""A folder of JSON tickets in the workspace. These functions run inside the sandbox; their results are plain JSON.

A ticket is one file `ID.json` with the keys id and title, and if there is something to say, body, number, customer,
queue, priority, state, tags, created, changed and notes: a list with id, body, subject, sender, internal and created.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.tickets.records import Change, Note, Query, Ticket, briefly, holds

MAX_FILES = 20_000
MAX_BYTES = 2_000_000
TEXTS = ("title", "body", "number", "customer", "queue", "priority", "state", "created", "changed")
SENDERS = {"agent", "customer", "system"}


def read_folder(folder: str, query: str, limit: int) -> dict[str, Any]:
    """Return the tickets that a query means, the oldest first, and a sentence for each file that cannot be read."""
    wanted = Query.parse(query)
    found, problems = [], []
    for path in _files(_existing(folder)):
        try:
            ticket = _read(path)
        except ToolFailure as problem:
            problems.append(problem.message)
            continue
        if wanted.admits(ticket) and wanted.found_in(ticket):
            found.append(ticket)
    found.sort(key=lambda ticket: (ticket.created, ticket.id))
    kept = briefly(found[:limit])
    return {
        "tickets": [ticket.to_json() for ticket in kept],
        "problems": problems,
        "left": len(found[:limit]) - len(kept),
    }


def read_one(folder: str, ticket_id: str) -> dict[str, Any]:
    """Return a ticket by its id, or by its number after `#`."""
    return _find(_existing(folder), ticket_id)[1].to_json()


def change_one(folder: str, ticket_id: str, change: dict[str, Any]) -> dict[str, Any]:
    """Set queue, priority and state, add tags, and return the ticket; a file that is already so stays as it is."""
    base = _existing(folder)
    wanted = Change(**{**change, "tags": tuple(change.get("tags", ()))})
    with _locked(base):
        path, ticket = _find(base, ticket_id)
        if not wanted.fulfilled_by(ticket):
            lowered = {tag.casefold() for tag in ticket.tags}
            added = [tag for tag in dict.fromkeys(wanted.tags) if tag.casefold() not in lowered]
            _write(path, {**wanted.named, "tags": [*ticket.tags, *added], "changed": _now()})
        return _read(path).to_json()


def note_one(folder: str, ticket_id: str, subject: str, body: str, internal: bool) -> bool:  # noqa: FBT001
    """Add an agent's note; return False when a note with its marker is there."""
    base = _existing(folder)
    with _locked(base):
        path, ticket = _find(base, ticket_id)
        if holds(ticket.notes, body):
            return False
        note = {
            "id": str(len(ticket.notes) + 1),
            "subject": subject,
            "body": body,
            "sender": "agent",
            "internal": internal,
            "created": _now(),
        }
        _write(path, {"notes": [*ticket.to_json()["notes"], note], "changed": note["created"]})
        return True


def write_samples(folder: str) -> tuple[list[str], list[str]]:
    """Copy the sample tickets into a folder; return the paths written and those that were there already."""
    base = inside_workspace(folder)
    if base.exists() and not base.is_dir():
        raise ToolFailure(f"{folder!r} is a file.", hint="Name a folder for the tickets.")
    base.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for sample in sorted((Path(__file__).parent / "samples").glob("*.json")):
        target = base / sample.name
        if target.is_symlink() or target.exists():
            kept.append(str(target))
            continue
        target.write_bytes(sample.read_bytes())
        written.append(str(target))
    return written, kept


def inside_workspace(folder: str) -> Path:
    """Return a folder's path within the workspace; the walls hold without this, it makes mistakes readable."""
    plain = folder.strip()
    base = Path.cwd().resolve()
    if not plain or "\0" in plain or not (whole := (base / plain).resolve()).is_relative_to(base):
        raise ToolFailure(f"{folder!r} is no folder in the workspace.", hint="Name one such as tickets.")
    return whole.relative_to(base)


def _existing(folder: str) -> Path:
    path = inside_workspace(folder)
    if not path.is_dir():
        hint = f"sample_tickets(folder={folder!r}) writes tickets to try it with."
        raise ToolFailure(f"There is no folder {folder!r} with tickets.", hint=hint)
    return path


def _files(base: Path) -> Iterator[Path]:
    count = 0
    for path in sorted(base.glob("*.json")):
        if path.name.startswith(".") or path.is_symlink() or not path.is_file():
            continue
        count += 1
        if count > MAX_FILES:
            raise ToolFailure(
                f"{str(base)!r} holds more than {MAX_FILES:,} tickets.", hint="Use a folder for each part."
            )
        yield path


def _find(base: Path, ticket_id: str) -> tuple[Path, Ticket]:
    plain = ticket_id.strip()
    likely = base / f"{plain}.json"
    plausible = "/" not in plain and "\0" not in plain and likely.is_file() and not likely.is_symlink()
    for path in itertools.chain((likely,) if plausible else (), _files(base)):
        with contextlib.suppress(ToolFailure):
            ticket = _read(path)
            if ticket.id == plain or (ticket.number and f"#{ticket.number}" == plain):
                return path, ticket
    raise ToolFailure(f"There is no ticket {ticket_id!r} in {str(base)!r}.", hint="fetch_tickets shows what is there.")


def _read(path: Path) -> Ticket:
    row = _row(path)
    for name in ("id", "title"):
        if not isinstance(row.get(name), (str, int)) or not str(row[name]).strip():
            raise ToolFailure(f"{path}: the ticket has no {name!r}.")
    wrong = [name for name in TEXTS if not isinstance(row.get(name, ""), (str, int, float, type(None)))]
    if wrong:
        raise ToolFailure(f"{path}: {wrong[0]!r} is no text.")
    texts: dict[str, Any] = {name: "" if row.get(name) is None else str(row[name]) for name in TEXTS}
    tags = row.get("tags") or []
    notes = row.get("notes") or []
    if not isinstance(tags, list) or not isinstance(notes, list) or not all(isinstance(note, dict) for note in notes):
        raise ToolFailure(f"{path}: 'tags' is a list of texts and 'notes' one of objects.")
    return Ticket(id=str(row["id"]), **texts, tags=tuple(map(str, tags)), notes=tuple(map(_note, notes)))


def _note(row: dict[str, Any]) -> Note:
    sender = row.get("sender")
    return Note(
        id=str(row.get("id", "")),
        body=str(row.get("body", "")),
        subject=str(row.get("subject", "")),
        sender=sender if sender in SENDERS else "customer",
        internal=bool(row.get("internal")),
        created=str(row.get("created", "")),
    )


def _row(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_BYTES:
        raise ToolFailure(f"{path} has more than {MAX_BYTES // 1_000_000} MB.")
    try:
        row = json.loads(path.read_bytes())
    except json.JSONDecodeError as problem:
        raise ToolFailure(f"{path}: {problem.msg} (line {problem.lineno}).") from problem
    except (ValueError, RecursionError) as problem:
        raise ToolFailure(f"{path} is no JSON in UTF-8.") from problem
    if not isinstance(row, dict):
        raise ToolFailure(f"{path}: a ticket is one JSON object.")
    return row


def _write(path: Path, changed: dict[str, Any]) -> None:
    """Replace the file in one piece; what else stood in it stays."""
    text = json.dumps({**_row(path), **changed}, ensure_ascii=False, indent=2) + "\n"
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.write_bytes(text.encode("utf-8", "surrogatepass"))
    fresh.replace(path)


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    """Let one change at a time into a folder, also from other processes."""
    handle = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
