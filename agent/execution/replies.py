"""Replies to an earlier answer: the whole answer and its files are at hand, under the label of the run that made them.

The planner gets a handle, the file's name, and not the text: who replies has not typed what the answer says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.artifacts import Artifact
from agent.domain.messages import MessageKind
from agent.domain.provenance import Provenance
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from agent.domain.messages import InboundMessage
    from agent.domain.run import Run, StepRecord
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store

LOOKED_AT = 300
KINDS = frozenset({MessageKind.ANSWER, MessageKind.FILES})
FILES_NAMED = 20
NAME_CHARS = 120
REQUEST_CHARS = 200


@dataclass(frozen=True, slots=True)
class Replies:
    """Notes to which answer a message replies, before a run is opened for it."""

    store: Store
    sessions: SessionFolders

    async def note(self, message: InboundMessage, names: list[str]) -> bool:  # noqa: ARG002 - an asker's
        """Put the answer into the workspace; False, because the message is still to be acted on."""
        run = await self._run_of(message) if message.reply_to and message.id and message.text.strip() else None
        if run is None or not run.answer:
            return False
        records = await self.store.get_steps(run.id)
        answer = await self._kept(run, records)
        files = [file["path"] for record in records for file in record.files if file.get("deliver", True)]
        request = run.request if run.provenance.trusted else ""
        handle = {"answer": answer, "files": list(dict.fromkeys(files)), "request": request}
        await self.store.set_value(_key(message.id), json.dumps(handle))
        return False

    async def _run_of(self, message: InboundMessage) -> Run | None:
        """Return the run whose answer, or one of whose files, the message replies to."""
        for shown in await self.store.messages_of(message.dest.session_id, LOOKED_AT):
            parts = {shown.message_id, *re.split(r"[^\w-]+", shown.message_id)}
            if shown.kind in KINDS and shown.run_id is not None and message.reply_to in parts:
                return await self.store.get_run(shown.run_id)
        return None

    async def _kept(self, run: Run, records: list[StepRecord]) -> str:
        session = await self.sessions.open(run.session_id)
        name, data = f"answer-{run.id}.md", run.answer.encode()
        async with self.sessions.writing(session):
            with Workspace(session.workspace) as workspace:
                workspace.write_bytes(name, data)
        label = label_of(run, records)
        file = Artifact(name, len(data), "", "text/markdown", provenance=label, deliver=False)
        await self.store.add_artifacts(session.id, None, "", [file])
        return name


def label_of(run: Run, records: list[StepRecord]) -> Provenance:
    """Return what an answer carries: its request, whatever its steps read and its planner had read.

    Of an answer without steps nobody has written down what earlier talk its planner saw, so it is no trusted text.
    """
    made_of = [part for record in records for part in (record.control, record.provenance)]
    unknown = [] if records else [Provenance.of(f"answer:{run.ref}", trusted=False)]
    return Provenance.union([run.provenance, *made_of, *unknown])


async def said_of_reply(store: Store, run: Run) -> str:
    """Return what a planner is told of the answer that a request replies to, "" when it replies to none."""
    stored = await store.get_value(_key(run.inbox_id)) if run.inbox_id else None
    if not stored:
        return ""
    handle = json.loads(stored)
    request = " ".join(handle["request"].split())[:REQUEST_CHARS]
    about = f" to “{request}”" if request else ""
    files = [path for path in handle["files"] if len(path) <= NAME_CHARS][:FILES_NAMED]
    with_files = f"; its files: {', '.join(files)}" if files else ""
    return f"\n\nThe request replies to an earlier answer{about}, which is in {handle['answer']}{with_files}."


def _key(inbox_id: int) -> str:
    return f"replied:{inbox_id}"
