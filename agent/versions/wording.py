"""What is said about going back, in the person's language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.domain.messages import MessageKind, OutboundMessage
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.domain.run import Run
    from agent.domain.versions import Restoration
    from agent.versions.comparing import Way
    from agent.versions.putting_back import Outcome

SHOWN = 30
TITLE_CHARS = 60
ASK = mark("↩️ Undo “{title}”?")
CHANGED = mark("{path} (changed)")
BRINGS = mark("Brings back: {files}")
REMOVES = mark("Removes: {files}")
STAYS = mark("Changed since, so it stays: {files}")
LOST = mark("Too large to be kept, so it stays: {files}")
ONLY_STAYS = mark("“{title}” can't be undone: what it made was changed since. It stays: {files}")
UNDONE = mark("↩️ “{title}” is undone.")
REDONE = mark("↪️ “{title}” is there again.")
BROUGHT = mark("Brought back: {files}")
REMOVED = mark("Removed: {files}")
LEFT = mark("Left as it is: {files}")
NOTHING = mark("There is nothing to undo here.")
LACKING = mark("What was there before “{title}” could not be kept, so it can't be undone.")
WORKING = mark("I'm still at “{title}”. Stop it with /stop or wait, then send /undo again.")
OFF = mark("Nothing is kept to go back to: `chat.undo_runs` is 0.")
UNDO, KEEP, BACK, OLDER = mark("↩️ Undo"), mark("Keep"), mark("↪️ Take it back"), mark("↩️ The one before")


def title_of(run: Run) -> str:
    """Return what a run is called."""
    return " ".join((run.title or run.request).split())[:TITLE_CHARS]


def listed(paths: Iterable[str]) -> str:
    """Return paths as a sentence names them."""
    names = list(paths)
    more = f" +{len(names) - SHOWN}" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def offered(run: Run, way: Way) -> str:
    """Return what undoing a run would do."""
    language = run.dest.language
    if not way.changes:
        return say(language, ONLY_STAYS, title=title_of(run), files=listed((*way.stays, *way.lost)))
    brought = [say(language, CHANGED, path=path) for path in way.changed] + list(way.back)
    lines = [say(language, ASK, title=title_of(run))]
    lines += _lines(language, (BRINGS, brought), (REMOVES, way.removed), (STAYS, way.stays), (LOST, way.lost))
    return "\n".join(lines)


def told(run: Run, restoration: Restoration, outcome: Outcome, key: str) -> OutboundMessage:
    """Return what is shown once files have been put back."""
    language, done = run.dest.language, set(outcome.done)
    brought = [one.path for one in restoration.changes if one.to is not None and one.path in done]
    removed = [one.path for one in restoration.changes if one.to is None and one.path in done]
    first = say(language, REDONE if restoration.back else UNDONE, title=title_of(run))
    lines = [first, *_lines(language, (BROUGHT, brought), (REMOVED, removed), (LEFT, outcome.left))]
    payload: dict[str, Any] = {"text": "\n".join(lines)}
    if not restoration.back and done:
        payload["buttons"] = [[{"label": BACK, "action": f"un/{restoration.id}/back"}]]
    return OutboundMessage(run.dest, MessageKind.NOTICE, key, payload, session_id=run.session_id, run_id=run.id)


def _lines(language: str, *told_of: tuple[str, Iterable[str]]) -> list[str]:
    return [say(language, sentence, files=listed(paths)) for sentence, paths in told_of if list(paths)]
