"""Which tools of a server the owner has accepted, and what it says of them since: two files in `mcp/` of the home.

`NAME.json` holds the accepted tools as they are shown to planners, each with the hash of everything that the server
said of it. Nothing is asked of a server to load them, so a start is fast and works offline. `NAME.seen.json` holds what
the server said last when that differs: a tool that has changed or come since is held back until it is accepted too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.errors import ConfigError
from agent.mcp.cleaning import MOST_DESCRIPTION, Unfit, cleaned, cleaned_schema, one_line

if TYPE_CHECKING:
    from agent.config.mcp import McpServer

FOLDER = "mcp"
MOST_TOOLS = 128
MOST_ABOUT = 200
MOST_SUMMARY = 240
SENTENCE_END = re.compile(r"(?<=[.!?])\s")
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
READ_RESOURCE = "read_resource"
RESOURCE_TOOL = {
    "name": READ_RESOURCE,
    "description": "Read a resource of this server by its address. Without one, list what there is to read.",
    "inputSchema": {
        "type": "object",
        "properties": {"uri": {"type": "string", "default": "", "description": "The resource's address"}},
    },
}


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as a server describes it, cleaned. `name` is the server's own; `hints` are its claims about it.

    `digest` is the SHA-256 (hex) of all that the server said of it. `unfit` says why it can't be used.
    """

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    hints: Mapping[str, bool] = field(default_factory=dict)
    digest: str = ""
    unfit: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Read a tool as it comes in `tools/list`."""
        name = str(said.get("name", ""))
        told = said.get("annotations") or {}
        hints = {hint: told[hint] for hint in HINTS if isinstance(told.get(hint), bool)}
        made = cls(one_line(name, 128), hints=hints, digest=_digest(said))
        described = cleaned(str(said.get("description") or said.get("title") or ""), MOST_DESCRIPTION)
        if made.name != name or not name:
            return replace(made, unfit="its name holds characters that can't be seen, or is too long")
        if (said.get("execution") or {}).get("taskSupport") == "required":
            return replace(made, unfit="it answers only by way of tasks, which are not spoken here")
        try:
            schema = cleaned_schema(said.get("inputSchema") or {})
        except Unfit as why:
            return replace(made, unfit=str(why))
        return replace(made, description=_with_summary(described or f"{name}: no word on what it does."), schema=schema)


def _with_summary(description: str) -> str:
    """Begin a description whose first sentence is long with a short one: every plan is told the first sentence."""
    first = SENTENCE_END.split(description.split("\n\n", 1)[0], maxsplit=1)[0]
    return description if len(first) <= MOST_SUMMARY else f"{one_line(first, MOST_SUMMARY)}\n\n{description}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server offers: its tools, what it calls itself, and whether it has resources. `at`: seconds since 1970."""

    tools: tuple[Offered, ...] = ()
    about: str = ""
    at: float = 0.0
    runs: str = ""

    def tool(self, name: str) -> Offered | None:
        """Return a tool by the server's name for it."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def ours(self, name: str) -> bool:
        """Say whether a tool is the one that we add ourselves, so that nobody has to accept it."""
        offered = self.tool(name)
        return offered is not None and offered.digest == _digest(RESOURCE_TOOL)

    @property
    def digest(self) -> str:
        """The hash of all tools together."""
        return _digest(sorted((tool.name, tool.digest) for tool in self.tools))

    @classmethod
    def of(cls, tools: Iterable[Mapping[str, Any]], about: str, runs: str) -> Self:
        """Read what a server lists; `runs` is the identity of what was started or called."""
        found = tuple(Offered.of(tool) for tool in tools)
        return cls(found[:MOST_TOOLS], one_line(about, MOST_ABOUT), time.time(), runs)


@dataclass(frozen=True, slots=True)
class Difference:
    """How what a server says now differs from what was accepted: names of tools."""

    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.new or self.gone)

    def in_words(self, most: int = 8) -> str:
        """Return it as a person reads it."""
        parts = (("changed", self.changed), ("new", self.new), ("gone", self.gone))
        return "; ".join(f"{what}: {_listed(names, most)}" for what, names in parts if names)


def _listed(names: tuple[str, ...], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def difference(accepted: Listing, now: Listing) -> Difference:
    """Compare what was accepted with what is offered now."""
    old, new = ({tool.name: tool.digest for tool in listing.tools} for listing in (accepted, now))
    return Difference(
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        new=tuple(sorted(new.keys() - old.keys() - ({READ_RESOURCE} if now.ours(READ_RESOURCE) else set()))),
        gone=tuple(sorted(old.keys() - new.keys())),
    )


def identity(settings: McpServer) -> str:
    """Return the hash of what is started or called, and with what: with another one nothing is accepted any more."""
    kept = settings.model_dump(
        mode="json", include={"command", "url", "secrets", "env", "bearer", "headers", "network", "folders"}
    )
    return _digest(kept)


# --- on disk ------------------------------------------------------------------------------------------------------
def place(home: Path, name: str) -> Path:
    """Return the file of what was accepted."""
    return home / FOLDER / f"{name}.json"


def _seen(home: Path, name: str) -> Path:
    return home / FOLDER / f"{name}.seen.json"


def accepted(home: Path, name: str) -> Listing | None:
    """Return what was accepted of a server; None when nothing was. Raises ConfigError for a file that is damaged."""
    return _read(place(home, name))


def seen(home: Path, name: str) -> Listing | None:
    """Return what a server said last, where that differs from what was accepted."""
    try:
        return _read(_seen(home, name))
    except ConfigError:  # it is only a memory of what the next start tells again
        return None


def accept(home: Path, name: str, listing: Listing) -> None:
    """Keep what the owner has accepted."""
    _write(place(home, name), listing)
    _seen(home, name).unlink(missing_ok=True)


def forget(home: Path, name: str) -> None:
    """Forget a server."""
    place(home, name).unlink(missing_ok=True)
    _seen(home, name).unlink(missing_ok=True)


def note(home: Path, name: str, listing: Listing) -> None:
    """Keep what a server has just said, if it differs from what was accepted."""
    known = accepted(home, name)
    before = seen(home, name)
    if known is not None and not difference(known, listing):
        _seen(home, name).unlink(missing_ok=True)
    elif before is None or before.digest != listing.digest:
        _write(_seen(home, name), listing)


def held_back(home: Path, name: str) -> Difference:
    """Return what a server has changed since it was accepted."""
    known, now = accepted(home, name), seen(home, name)
    return difference(known, now) if known is not None and now is not None else Difference()


def _read(path: Path) -> Listing | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        tools = tuple(Offered(**tool) for tool in stored["tools"])
        return Listing(tools, stored["about"], stored["at"], stored["runs"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is damaged'}."
        raise ConfigError(said, hint=f"`dirigent mcp accept {path.name.partition('.')[0]}` makes it anew.") from None


def _write(path: Path, listing: Listing) -> None:
    """Replace a file at once, so that none is ever half written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}.new")
    try:
        with fresh.open("x", encoding="utf-8") as file:
            json.dump(asdict(listing), file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
