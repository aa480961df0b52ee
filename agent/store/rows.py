"""From records to rows and back: JSON, text that any database takes, and random ids."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from agent.domain.artifacts import Artifact
from agent.domain.messages import Attachment, Destination, InboundMessage, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.provenance import Provenance
from agent.domain.run import Approval, Origin, Question, Run, StepRecord
from agent.domain.states import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row

EACH = "each"  # beside the label of a whole call: those of its arguments


def short_id() -> str:
    """Return 8 random characters that are safe in addresses, in buttons and as words of a command (about 48 bits)."""
    made = secrets.token_urlsafe(6)
    return made if made[0] != "-" else f"0{made[1:]}"  # a word that begins with a dash would be an option


def dump(value: Any) -> str:
    """Return `value` as compact JSON. Raises TypeError when it is no JSON value."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        written.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: escaped, it is kept
        return json.dumps(value, separators=(",", ":"))
    return written


def dump_provenance(provenance: Provenance) -> str:
    """Return a label as JSON; most are the same few, so they are kept."""
    written = _provenances.get(provenance)
    if written is None:
        written = dump(provenance.to_json())
        if len(_provenances) < MANY_LABELS:
            _provenances[provenance] = written
    return written


def dump_origins(origins: Provenance, labels: Mapping[str, Provenance]) -> str:
    """Return the label of a call with those of its arguments as JSON."""
    if not labels:
        return dump_provenance(origins)
    return dump({**origins.to_json(), EACH: {name: label.to_json() for name, label in labels.items()}})


def load_provenance(written: str) -> Provenance:
    """Read what `dump_provenance` wrote."""
    label = _read_provenances.get(written)
    if label is None:
        label = Provenance.from_json(json.loads(written))
        if len(_read_provenances) < MANY_LABELS:
            _read_provenances[written] = label
    return label


MANY_LABELS = 256
_provenances: dict[Provenance, str] = {}
_read_provenances: dict[str, Provenance] = {}


def plain(text: str) -> str:
    """Return text that every database takes: no NUL, no half surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def inbound_body(message: InboundMessage) -> str:
    """Return what the inbox keeps of a message beside its columns."""
    return dump(
        {
            "dest": message.dest.to_json(),
            "user_id": message.user_id,
            "action": message.action,
            "message_id": message.message_id,
            "user_name": message.user_name,
            "language": message.language,
            "quoted": message.quoted,
            "reply_to": message.reply_to,
            "attachments": [
                {
                    "name": file.name,
                    "path": file.path,
                    "file_id": file.file_id,
                    "mime": file.mime,
                    "size": file.size,
                    "trusted": file.trusted,
                    "kind": file.kind,
                    "seconds": file.seconds,
                }
                for file in message.attachments
            ],
            "trusted": message.trusted,
            "forwarded": message.forwarded,
        },
    )


def inbound(row: Row[Any]) -> InboundMessage:
    """Read a row of `inbox`."""
    body = json.loads(row.body)
    dest = Destination.from_json(body.pop("dest"))
    files = tuple(Attachment(**file) for file in body.pop("attachments"))
    return InboundMessage(
        channel=row.channel,
        update_id=row.update_id,
        dest=dest,
        text=row.text,
        attachments=files,
        received_at=row.received_at,
        id=row.id,
        **body,
    )


def outbound(row: Row[Any]) -> OutboundMessage:
    """Read a row of `outbox`."""
    return OutboundMessage(
        dest=Destination.from_json(json.loads(row.dest)),
        kind=MessageKind(row.kind),
        key=row.key,
        payload=json.loads(row.payload),
        session_id=row.session_id,
        run_id=row.run_id,
        id=row.id,
        version=row.version,
        sent_version=row.sent_version,
        message_id=row.message_id,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
    )


def run(row: Row[Any]) -> Run:
    """Read a row of `runs`."""
    return Run(
        session_id=row.session_id,
        request=row.request,
        dest=Destination.from_json(json.loads(row.dest)),
        id=row.id,
        ref=row.ref,
        origin=Origin(row.origin),
        inbox_id=row.inbox_id,
        user_id=row.user_id,
        status=Status(row.status),
        priority=row.priority,
        title=row.title,
        plan_complete=row.plan_complete,
        replans=row.replans,
        starts=row.starts,
        epoch=row.epoch,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        answer=row.answer,
        error=row.error,
        corr_id=row.corr_id,
        provenance=load_provenance(row.provenance),
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        given=json.loads(row.given),
        source=row.source,
        project=row.project,
        budget=row.budget,
    )


def step_content(step: PlanStep) -> str:
    """Return a step as it was planned, without where it stands."""
    left_out = {"status"} if step.pipe is not None else {"status", "pipe"}
    try:
        return step.model_dump_json(exclude=left_out)
    except ValueError:  # half of a surrogate pair in an argument: escaped, it is kept
        return dump(step.model_dump(mode="json", exclude=left_out))


def _step(content: str, status: Status) -> PlanStep:
    content = f'{content[:-1]},"status":"{status}"}}'
    try:
        return PlanStep.model_validate_json(content)
    except ValueError:
        return PlanStep.model_validate(json.loads(content))


def step_record(row: Row[Any]) -> StepRecord:
    """Read a row of `tasks`; the step's own status is the row's."""
    status = Status(row.status)
    return StepRecord(
        run_id=row.run_id,
        step=_step(row.step, status),
        status=status,
        position=row.position,
        attempt=row.attempt,
        output=None if row.output is None else json.loads(row.output),
        text=row.text,
        files=tuple(json.loads(row.files)),
        response_status=row.response_status,
        error=row.error,
        control=load_provenance(row.control),
        provenance=load_provenance(row.provenance),
        estimated_cost=row.estimated_cost,
        actual_cost=row.actual_cost,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )


def question(row: Row[Any]) -> Question:
    """Read a row of `questions`."""
    fields = row._asdict()
    return Question(**{**fields, "options": tuple(json.loads(row.options))})


def approval(row: Row[Any]) -> Approval:
    """Read a row of `approvals`."""
    fields = row._asdict()
    read = {"choices": tuple(json.loads(row.choices)), "origins": load_provenance(row.origins)}
    kept = json.loads(row.origins).get(EACH) or {}
    read["labels"] = {name: Provenance.from_json(label) for name, label in kept.items()}
    return Approval(**{**fields, "args": json.loads(row.args), **read})


def artifact(row: Row[Any]) -> Artifact:
    """Read a row of `artifacts`."""
    return Artifact(
        path=row.path,
        size=row.size,
        sha256=row.sha256,
        mime=row.mime,
        title=row.title,
        provenance=load_provenance(row.provenance),
    )
