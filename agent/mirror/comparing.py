"""What has to be done here so that a session's files are as in the storage: a comparison of three states, no I/O.

The three are the state that was the same on both sides last (the index), what is here, and what is there. What changed
on one side only is taken over from there, or left to be kept from here. What changed on both is merged where that can
be done; otherwise the storage's counts, unless a run is working in the file here right now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.mirror.index import Index
    from agent.mirror.objects import Found


@dataclass(slots=True)
class Plan:
    """Paths to `take` from the storage, to `remove` here, to `merge`, and to `forget` (gone on both sides)."""

    take: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    merge: list[str] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)


def compare(
    index: Index,
    here: Collection[str],
    changed: Collection[str],
    there: Mapping[str, Found],
    *,
    in_work: Collection[str],
    merged: Collection[str],
    alone: bool,
) -> Plan:
    """Return what to do about the paths of the areas that were looked at.

    `changed` are those that differ here from the index, `in_work` those that programs write, `merged` those that can be
    merged. `alone` says that no run works in the files here: what differs then was left by one that was cut off. It
    stays while nothing has happened elsewhere; after that it is nobody's any more.
    """
    plan = Plan()
    paths = sorted({*here, *changed, *there})
    moved = {path for path in paths if _etag(index, path) != (there[path].etag if path in there else None)}
    left_behind = alone and index.known and (index.rebooted or bool(moved))
    for path in paths:
        mine, theirs = path in changed, path in moved
        if mine and theirs and path not in there and path not in here:
            plan.forget.append(path)
        elif mine and theirs and path in merged and path in here:
            plan.merge.append(path)
        elif mine and theirs and path in in_work and index.known and not alone:
            continue
        elif theirs or (mine and left_behind and path in in_work):
            (plan.take if path in there else plan.remove).append(path)
    return plan


def _etag(index: Index, path: str) -> str | None:
    known = index.files.get(path)
    return known.etag if known is not None else None
