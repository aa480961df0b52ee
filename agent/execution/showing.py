"""What a person sees at a checkpoint: results in words up to a bound, the rest and all files as files, their origin."""

from __future__ import annotations

import asyncio
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.provenance import Provenance
from agent.execution.posting import put_aside
from agent.execution.values import current, in_words, value_of
from sandbox.workspace import Workspace, safe_name

if TYPE_CHECKING:
    from agent.domain.plan import Checkpoint, PlanStep
    from agent.execution.context import RunContext
    from agent.store.protocol import Store

SHOWN_CHARS = 4_000
SHOWN_TOGETHER = 20_000
MOST_PATTERN_FILES = 20


@dataclass(slots=True)
class Shown:
    """`results` are texts by step, `whole` those that were too long, `files` the workspace's, `labels` by name."""

    results: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, Provenance] = field(default_factory=dict)


def shown_at(ctx: RunContext, step: PlanStep, checkpoint: Checkpoint) -> Shown:
    """Return what is shown before a step: the newest results of what it is to show, and files."""
    shown, newest, files = Shown(), current(ctx), dict[str, dict[str, Any]]()
    scope = step.pipe.scope if step.pipe is not None else ""
    left = SHOWN_TOGETHER
    for name in checkpoint.show:
        result = ctx.results.get(newest.get(name, name))
        if result is None or not result.success:
            continue
        text = result.text or in_words(value_of(result))
        known = name.removeprefix(scope)
        room = min(SHOWN_CHARS, left)
        left -= min(len(text), room)
        if text.strip():
            shown.results[known] = text if len(text) <= room else _cut(text, room, f"{known}.txt")
            shown.labels[known] = result.provenance
        if len(text) > room:
            shown.whole[f"{known}.txt"] = text
        files |= {file.path: {"path": file.path, "title": file.title} for file in result.files if file.deliver}
    for path in _matching(ctx, checkpoint.files):
        files.setdefault(path, {"path": path, "title": ""})
    shown.files = list(files.values())
    shown.labels |= {path: ctx.file_labels[path] for path in files if path in ctx.file_labels}
    return shown


def _cut(text: str, room: int, name: str) -> str:
    return f"{text[:room]}… ({len(text) - room:,} characters more, in {name})"


def _matching(ctx: RunContext, patterns: tuple[str, ...]) -> list[str]:
    if not patterns:
        return []
    with Workspace(ctx.session.workspace) as workspace:
        names = workspace.list_files()
    found = [name for name in names if any(fnmatch.fnmatchcase(name, one.removeprefix("./")) for one in patterns)]
    return found[:MOST_PATTERN_FILES]


async def post_files(store: Store, ctx: RunContext, shown: Shown, key: str) -> None:
    """Post the files, copied to where no later step can change them; twice is as once."""
    if not shown.files and not shown.whole:
        return
    folder = safe_name(key)
    placed = await asyncio.to_thread(put_aside, ctx.session, ctx.run.id, shown.files, folder)
    texts = await asyncio.to_thread(_written, ctx.session.folder / "delivered" / str(ctx.run.id) / folder, shown.whole)
    paths = [*(str(file["place"]) for file in placed), *texts]
    if not paths:
        return
    await ctx.keep("")
    payload = {"paths": paths, "caption": "To be approved: " + ", ".join(Path(path).name for path in paths)}
    message = OutboundMessage(
        ctx.run.dest, MessageKind.FILES, key, payload, session_id=ctx.session.id, run_id=ctx.run.id
    )
    await store.post(message)


def _written(folder: Path, texts: dict[str, str]) -> list[str]:
    if texts:
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / safe_name(name)).write_text(text, encoding="utf-8", errors="replace")
    return [str(folder / safe_name(name)) for name in texts]
