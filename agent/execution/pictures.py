"""The pictures that a model looks at: those that an `llm` step names, and those that came with an owner's own words.

A picture can hold instructions, so it counts as something that was read: what an `llm` step writes about it carries the
picture's label, and a plan that was made by a look at it is not from the person's words alone.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.provenance import NOTHING, Provenance
from agent.errors import ModelRefused, ToolError
from agent.llm.protocol import Seeing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.domain.messages import InboundMessage
    from agent.execution.context import RunContext
    from agent.execution.toolbox import Toolbox
    from agent.llm.protocol import LLM, Picture
    from agent.store.protocol import Store

ARGUMENT = "picture"
MOST = 5
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def is_picture(name: str) -> bool:
    """Return whether a file's name is that of a picture."""
    return name.casefold().endswith(SUFFIXES)


def may_see(llm: LLM | None, model: str | None) -> bool:
    """Return whether a model may be able to look at pictures."""
    return llm is not None and isinstance(llm, Seeing) and llm.sees(model)


def named(material: Mapping[str, Any]) -> list[str]:
    """Return the pictures that a step's argument `picture` names: a path, or a list of paths."""
    value = material.get(ARGUMENT)
    paths = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [posixpath.normpath(str(path)) for path in paths if is_picture(str(path))]


async def of_step(
    toolbox: Toolbox, ctx: RunContext, paths: list[str], model: str | None
) -> tuple[tuple[Picture, ...], Provenance]:
    """Return the pictures that a step names, and their labels. Raises ToolError, and ModelRefused where none sees."""
    if paths and not may_see(ctx.llm, model):
        raise ModelRefused("The model in use can't look at pictures.", hint="Choose another; see also `llm.vision`.")
    if len(paths) > MOST:
        raise ToolError(f"{len(paths)} pictures are too many for one step.", hint=f"Look at {MOST} at a time.")
    labels = Provenance.union(ctx.file_labels.get(path, NOTHING) for path in paths)
    return tuple([await toolbox.picture(ctx.session, path) for path in paths]), labels


@dataclass(frozen=True, slots=True)
class PictureNotes:
    """Notes which pictures came with which words, before a run is opened for them."""

    store: Store

    async def note(self, message: InboundMessage, names: list[str]) -> bool:
        """Note them; False, because the message is still to be acted on."""
        found = [name for name in names if is_picture(name)][:MOST]
        if found and message.id and message.trusted and message.text.strip():
            await self.store.set_value(_kept(message.id), json.dumps(found))
        return False


async def of_request(store: Store, toolbox: Toolbox, ctx: RunContext) -> tuple[tuple[Picture, ...], Provenance]:
    """Return the pictures that the planner looks at, and what its plan carries for that.

    They are an owner's own that came with the request, never one that was forwarded or a member's. Typed words alone
    are the person's: so whatever is planned after a look asks before it has an effect.
    """
    stored = await store.get_value(_kept(ctx.run.inbox_id)) if ctx.run.inbox_id else None
    if not stored or not may_see(ctx.llm, ctx.session.model):
        return (), NOTHING
    seen: dict[str, Picture] = {}
    for name in json.loads(stored):
        label = ctx.file_labels.get(name)
        if label is None or not label.trusted:
            continue
        try:
            seen[name] = await toolbox.picture(ctx.session, name)
        except ToolError as problem:
            logger.info("{}: the planner does not see {}: {}", ctx.run.corr_id, name, problem)
    labels = Provenance.union(Provenance.of(f"picture:{name}", trusted=False) for name in seen)
    return tuple(seen.values()), labels


def _kept(inbox_id: int) -> str:
    return f"pictures:{inbox_id}"
