"""What the files of a call held when a person was asked about it: a yes is for these bytes, and not for a name.

Other steps go on while a question is open, and files may come; so the hashes lie in the journal with the question.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from agent.execution.toolbox import fingerprint
from agent.policy.provenance import files_named, meant
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.domain.session import Session
    from agent.store.protocol import Store
    from plugins.api import ToolSpec


async def held_by(session: Session, spec: ToolSpec, args: Mapping[str, Any]) -> str:
    """Return what the files hold that a call would take, as JSON; "" for a call without files."""
    named = files_named(spec, args)
    if not named and not spec.reads_all:
        return ""
    held = await asyncio.to_thread(_held, session, named, everything=spec.reads_all)
    return json.dumps({"named": named, "everything": spec.reads_all, "held": held})


async def seal(store: Store, approval_id: str, held: str) -> None:
    """Note what `held_by` returned with the question that is asked."""
    await store.set_value(_key(approval_id), held)


async def has_changed(store: Store, session: Session, approval_id: str) -> bool:
    """Say whether the files of a call hold something else than when the person was asked."""
    written = await store.get_value(_key(approval_id))
    if not written:
        return False
    told = json.loads(written)
    held = await asyncio.to_thread(_held, session, told["named"], everything=told["everything"])
    return bool(held != told["held"])


def _held(session: Session, named: Sequence[str], *, everything: bool) -> dict[str, str]:
    """Return path → SHA-256 (hex) of the files that are meant; "" for one that can't be read."""
    try:
        with Workspace(session.workspace) as workspace:
            there = workspace.list_files()
    except (OSError, SandboxError):
        return {}
    wanted = there if everything else sorted({name for path in named for name in meant(path, there)})
    return {name: _hash(session, name) for name in wanted}


def _hash(session: Session, path: str) -> str:
    try:
        return fingerprint(session, path)[1]
    except (OSError, SandboxError):
        return ""


def _key(approval_id: str) -> str:
    return f"approval:{approval_id}:files"
