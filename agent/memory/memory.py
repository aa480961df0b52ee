"""One session's memory: recall for the planner, remember and forget for people, compress when it grows long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from agent.memory.entries import TAGS, Entry, clean, parse, ranked
from agent.memory.replace import read_file, update_file

FILE_NAME = "MEMORY.md"
HEADING = "# Memory: one fact a line; edit freely. (…, untrusted) marks what somebody else said.\n\n"
CONTEXT_CHARS = 2_000
LONG_CHARS = 12_000
MAX_FACT_CHARS = 400
FORGOTTEN = "- what somebody else had said"
Complete = Callable[[str, str], Awaitable[str]]
Sync = Callable[[], Awaitable[None]]

COMPRESS = (
    "You tidy a list of remembered facts. Merge duplicates, drop what later lines contradict, keep names, numbers and "
    "dates exact, invent nothing. Answer with lines of the form `[TAG] fact`, TAG one of " + ", ".join(TAGS) + "."
)
LEARN = (
    "Decide whether the person's message states something worth remembering for later conversations: a lasting "
    "preference, a decision, a configuration, an agreement, or a fact about them. Requests for work are not. "
    "Answer with lines of the form `[TAG] fact` (TAG one of " + ", ".join(TAGS) + "), or with the word NONE."
)


class SessionMemory:
    """The memory in `folder/MEMORY.md`. The file is the truth: a person may edit it at any time."""

    def __init__(self, folder: Path, *, fetch: Sync | None = None, keep: Sync | None = None) -> None:
        """`fetch` brings the file up to date before it is read, `keep` takes it elsewhere once it is written."""
        self.path = folder / FILE_NAME
        self._fetch = fetch
        self._keep = keep

    async def text(self) -> str:
        """Return the file's text, "" when there is none."""
        if self._fetch is not None:
            await self._fetch()
        return await read_file(self.path)

    async def entries(self) -> list[Entry]:
        """Return all entries in the order of the file."""
        return parse(await self.text())

    async def context(self, limit: int = CONTEXT_CHARS) -> str:
        """Return the trusted entries for a planner, best first, at most `limit` characters."""
        lines: list[str] = []
        size = 0
        for entry in ranked([e for e in await self.entries() if e.trusted]):
            line = f"[{entry.tag}] {entry.text}"
            size += len(line) + 1
            if size > limit:
                break
            lines.append(line)
        return "\n".join(lines)

    async def remember(self, text: str, tag: str = "", *, source: str = "user", trusted: bool = True) -> Entry | None:
        """Add a fact and return its entry; None when it is empty or known already."""
        fact = clean(text)[:MAX_FACT_CHARS]
        entries = await self.entries()
        if not fact or any(entry.text.casefold() == fact.casefold() for entry in entries):
            return None
        tag = tag.upper() if tag.upper() in TAGS else "FACT"
        entry = Entry(fact, tag, datetime.now(UTC).date().isoformat(), clean(source) or "user", trusted)
        await self._change(lambda present: [*present, entry])
        return entry

    async def recall(self, query: str = "", limit: int = 20, *, own: bool = False) -> list[Entry]:
        """Return the entries that share most words with `query`, or the best-ranked ones without a query.

        With `own` only the person's: none that somebody else had a hand in.
        """
        entries = ranked([entry for entry in await self.entries() if entry.trusted or not own])
        words = set(query.casefold().split())
        if not words:
            return entries[:limit]
        scored = [(sum(word in entry.text.casefold() for word in words), entry) for entry in entries]
        hits = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])
        return [entry for _, entry in hits[:limit]]

    async def forget(self, query: str) -> list[Entry]:
        """Remove the entries that contain `query` (`*` for all) and return them."""
        wanted = query.strip().casefold()
        entries = await self.entries()
        gone = [e for e in entries if wanted == "*" or (wanted and wanted in e.text.casefold())]
        if gone:
            await self._change(lambda present: [entry for entry in present if entry not in gone])
        return gone

    async def learn(self, user_text: str, complete: Complete) -> list[Entry]:
        """Have a model pick lasting facts out of the person's own words; nothing else is shown to it."""
        answer = await complete(LEARN, user_text[:4_000])
        found = [await self.remember(text, tag) for tag, text in _tagged_lines(answer)[:5]]
        return [entry for entry in found if entry is not None]

    async def compress(self, complete: Complete | None = None) -> bool:
        """Shorten a memory over `LONG_CHARS`, by a model or else by dropping the lowest-ranked oldest entries.

        Untrusted entries are never shown to the model and never lose their label; they are kept as they are.
        """
        entries = await self.entries()
        if sum(len(e.line()) + 1 for e in entries) <= LONG_CHARS:
            return False
        trusted = [e for e in entries if e.trusted]
        merged = await _merge(trusted, complete) if complete else []
        kept = _fit(merged or trusted, LONG_CHARS // 2)
        await self.write([*kept, *_fit([e for e in entries if not e.trusted], LONG_CHARS // 4)])
        return True

    async def write(self, entries: list[Entry]) -> None:
        """Replace the file atomically."""
        await self._change(lambda _present: entries)

    async def _change(self, change: Callable[[list[Entry]], list[Entry]]) -> None:
        """Replace the entries by what is made of those that are there now, whoever else writes at the same time."""
        await update_file(self.path, lambda text: written(change(parse(text))))
        if self._keep is not None:
            await self._keep()


def written(entries: Iterable[Entry]) -> str:
    """Return a memory file that holds these entries."""
    return HEADING + "".join(entry.line() + "\n" for entry in entries)


def merged(before: str, here: str, there: str) -> str:
    """Return what a memory file should hold that two hosts have changed since it was `before`, losing nothing of it."""
    known, ours, theirs = parse(before), parse(here), parse(there)
    gone = [entry for entry in known if entry not in ours]
    kept = [entry for entry in theirs if entry not in gone]
    return written([*kept, *(entry for entry in ours if entry not in known and entry not in theirs)])


async def _merge(entries: list[Entry], complete: Complete) -> list[Entry]:
    answer = await complete(COMPRESS, "\n".join(f"[{e.tag}] {e.text}" for e in entries))
    today = datetime.now(UTC).date().isoformat()
    return [Entry(clean(text)[:MAX_FACT_CHARS], tag, today) for tag, text in _tagged_lines(answer)]


def _fit(entries: list[Entry], limit: int) -> list[Entry]:
    kept: list[Entry] = []
    size = 0
    for entry in ranked(entries):
        size += len(entry.line()) + 1
        if size > limit:
            break
        kept.append(entry)
    return sorted(kept, key=lambda e: e.date)


def _tagged_lines(answer: str) -> list[tuple[str, str]]:
    found = []
    for line in answer.splitlines():
        tag, bracket, text = line.strip().lstrip("- ").partition("]")
        if bracket and tag.startswith("[") and tag[1:] in TAGS and text.strip():
            found.append((tag[1:], text.strip()))
    return found


class MemoryDoor:
    """What tools see of a session's memory: implements `plugins.api.Memory`.

    Only the person's own words, and what they approved, come through this door: a call whose text was influenced by
    others asks first. What others said does not leave through it either: a tool's result would not carry its label.
    """

    def __init__(self, memory: SessionMemory) -> None:
        self._memory = memory

    async def remember(self, text: str, tag: str = "") -> str:
        """Store a fact and return the entry as written, or "" when it was known already."""
        entry = await self._memory.remember(text, tag)
        return entry.line() if entry else ""

    async def recall(self, query: str = "", limit: int = 20) -> list[str]:
        """Return the person's own entries that match best."""
        return [entry.line() for entry in await self._memory.recall(query, limit, own=True)]

    async def forget(self, query: str) -> list[str]:
        """Remove the entries that match and return them; of those of others, only that they are gone."""
        return [entry.line() if entry.trusted else FORGOTTEN for entry in await self._memory.forget(query)]
