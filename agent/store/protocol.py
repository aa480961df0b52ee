"""The journal's protocol. One contract suite (`tests/agent/store/`) runs on every implementation.

Every method that changes something has committed when it returns. Many small changes that arrive together share one
commit (group commit). Reads see all changes that were requested before them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from agent.domain.artifacts import Artifact
    from agent.domain.audit import AuditEntry
    from agent.domain.backlog import Backlog
    from agent.domain.chain import Chain
    from agent.domain.event import Event
    from agent.domain.ledger import Balance, Cap, Reservation, Usage
    from agent.domain.messages import InboundMessage, OutboundMessage
    from agent.domain.people import Pairing, Person
    from agent.domain.plan import PlanStep
    from agent.domain.project import Project, ProjectStatus
    from agent.domain.provenance import Provenance
    from agent.domain.run import Approval, Question, Run, StepChange, StepRecord
    from agent.domain.states import Status
    from agent.domain.trigger import Fire, FireStatus, Trigger, TriggerKind


class Store(Protocol):
    """The journal. Raises IllegalTransition, StaleLease or NotFound; nothing of a refused write is kept."""

    outbox_changed: asyncio.Event

    async def open(self) -> None:
        """Migrate (after a backup) and be ready."""

    async def close(self) -> None:
        """Finish what is queued and close."""

    # --- sessions -----------------------------------------------------------------------------------------------
    async def touch_session(self, session_id: str, folder: Path, dest: dict[str, str]) -> None:
        """Create or refresh the session's row."""

    async def sessions(self) -> list[dict[str, Any]]:
        """Return every session: id, folder, dest, created_at, seen_at."""

    # --- inbox --------------------------------------------------------------------------------------------------
    async def receive(self, messages: Sequence[InboundMessage]) -> list[InboundMessage]:
        """Insert and return the messages that were new, with their ids; a known (channel, update_id) is left out."""

    async def unheard(self, channel: str) -> list[InboundMessage]:
        """Return the messages that nothing has been done about yet, oldest first."""

    async def heard(self, inbox_id: int) -> None:
        """Mark a message as done. Opening a run for it does that too, in the same transaction."""

    async def edit_message(self, inbox_id: int, text: str) -> bool:
        """Replace the text of a message that is still unheard (it was edited); False when it is too late."""

    # --- runs ---------------------------------------------------------------------------------------------------
    async def open_run(self, run: Run) -> Run:
        """Insert a run and mark its inbox message as heard, in one transaction; return it with id and ref.

        Idempotent by `inbox_id`: a second call returns the run that is already there.
        """

    async def get_run(self, run_id: int) -> Run:
        """Return a run. Raises NotFound."""

    async def find_run(self, ref: str) -> Run | None:
        """Return the run with this short id."""

    async def unfinished_runs(self, session_id: str | None = None) -> list[Run]:
        """Return runs that are not in a final state, oldest first."""

    async def recent_runs(self, session_id: str | None = None, limit: int = 20) -> list[Run]:
        """Return the newest runs, newest first."""

    async def runs_of(self, source: str, limit: int = 20) -> list[Run]:
        """Return the newest runs with this `Run.source`, newest first."""

    async def outcomes(self, source: str) -> dict[str, int]:
        """Return how many runs with this `Run.source` stand in each status."""

    async def lease_run(self, run_id: int, owner: str, seconds: float) -> Run | None:
        """Take the run for `owner` and return it with its new epoch; None when another owner's lease is still good.

        None, too, while another owner works on a run of the same project. Counts `starts` up and sets `started_at` the
        first time. The same owner may lease again.
        """

    async def renew_lease(self, run_id: int, epoch: int, seconds: float) -> bool:
        """Extend the lease; False when it was lost."""

    async def release_run(self, run_id: int, epoch: int) -> None:
        """Give the lease back (the run waits for a person, or the process ends in good order)."""

    async def change_run(self, run_id: int, epoch: int, *, status: Status | None = None, **fields: Any) -> None:
        """Change a run's state and fields (title, plan_complete, replans, error, …)."""

    async def finish_run(
        self,
        run_id: int,
        epoch: int,
        *,
        status: Status,
        answer: str = "",
        error: str = "",
        messages: Sequence[OutboundMessage] = (),
    ) -> None:
        """End a run, cancel its steps that are not final, and post its last messages, in one transaction."""

    # --- steps --------------------------------------------------------------------------------------------------
    async def add_steps(self, run_id: int, epoch: int, steps: Sequence[PlanStep], control: Provenance) -> None:
        """Append steps as PENDING. A step whose id is already there with the same content is left alone."""

    async def get_steps(self, run_id: int) -> list[StepRecord]:
        """Return the run's steps in the order in which they were planned."""

    async def change_step(self, change: StepChange) -> None:
        """Make one transition; returns when it is committed."""

    def change_step_soon(self, change: StepChange) -> None:
        """Make one transition with the next commit, before anything requested later.

        Errors surface with the next awaited change of the same run. For starts of steps that may be repeated after a
        crash.
        """

    # --- questions and approvals --------------------------------------------------------------------------------
    async def ask(self, question: Question, change: StepChange | None, message: OutboundMessage) -> None:
        """Insert a question, put its step into WAITING_APPROVAL and post the message, in one transaction."""

    async def answer_question(
        self, question_id: str, answer: str, by: str, *, inbox_id: int | None = None, budget: float | None = None
    ) -> Question | None:
        """Record the first answer and return the question; None when unknown or already answered.

        In the same transaction, if it is the answer: with `inbox_id` the message that answers counts as heard, and
        with `budget` the question's run may spend that much in all, in US dollars.
        """

    async def get_question(self, question_id: str) -> Question | None:
        """Return a question."""

    async def open_questions(self, session_id: str) -> list[Question]:
        """Return unanswered questions of unfinished runs, oldest first."""

    async def request_approval(self, approval: Approval, change: StepChange, message: OutboundMessage) -> None:
        """Insert an approval, put its step into WAITING_APPROVAL and post the message, in one transaction."""

    async def decide_approval(self, approval_id: str, decision: str, by: str, *, comment: str = "") -> Approval | None:
        """Record the first decision; None when unknown, decided, expired, or none of the approval's choices.

        A decision and its entry in the audit log are one transaction.
        """

    async def get_approval(self, approval_id: str) -> Approval | None:
        """Return an approval."""

    async def approvals_of(self, run_id: int) -> list[Approval]:
        """Return a run's approvals, oldest first."""

    async def questions_of(self, run_id: int) -> list[Question]:
        """Return a run's questions, oldest first."""

    # --- artifacts and labels -----------------------------------------------------------------------------------
    async def add_artifacts(self, session_id: str, run_id: int | None, step_id: str, files: Sequence[Artifact]) -> None:
        """Record files with their provenance. The newest record of a path is its label."""

    async def artifacts_of(self, run_id: int) -> list[Artifact]:
        """Return the files that the run's steps made, in order."""

    async def labels(self, session_id: str) -> dict[str, Provenance]:
        """Return path → provenance of every labelled file of the session's workspace."""

    # --- outbox -------------------------------------------------------------------------------------------------
    async def post(self, message: OutboundMessage) -> None:
        """Insert or change the message with this key; an equal payload changes nothing. Sets `outbox_changed`."""

    async def due_messages(self, channel: str, limit: int = 100) -> list[OutboundMessage]:
        """Return messages whose `sent_version` is behind and whose `not_before` has come, oldest first.

        State `sending` (a send that was under way when the process died) is returned too; the sender decides by kind.
        """

    async def mark_sending(self, message_ids: Sequence[int]) -> None:
        """Note that these are about to be sent for the first time."""

    async def mark_sent(self, outbox_id: int, version: int, message_id: str) -> None:
        """Note what the person now sees."""

    async def mark_failed(self, outbox_id: int, error: str, *, retry_at: float | None) -> None:
        """Note a failure: due again at `retry_at` (seconds since 1970), or given up when None."""

    async def get_message(self, key: str) -> OutboundMessage | None:
        """Return the outbox message with this key."""

    async def messages_of(self, session_id: str, limit: int = 100) -> list[OutboundMessage]:
        """Return the newest outbox messages of a session, newest first."""

    # --- ledger, audit, small values ----------------------------------------------------------------------------
    async def spend(self, session_id: str, run_id: int | None, step_id: str, usage: Sequence[Usage]) -> None:
        """Append to the ledger."""

    async def spent(
        self, *, run_id: int | None = None, session_id: str | None = None, since: float = 0.0
    ) -> dict[str, float]:
        """Return {"money", "prompt_tokens", "completion_tokens", "calls", "unpriced_calls"}."""

    async def reserve(
        self, caps: Sequence[Cap], *, money: float, tokens: int, run_id: int | None = None
    ) -> Reservation:
        """Set an amount aside on every account, or on none when a cap would be passed (`Reservation.refused`).

        Atomic, also between processes: spent and reserved together never pass a cap.
        """

    async def settle(
        self, reservation_id: int, session_id: str, run_id: int | None, step_id: str, usage: Sequence[Usage]
    ) -> tuple[Balance, ...]:
        """Put what was really used in the place of a reservation, and append it to the ledger, in one transaction.

        Returns the accounts afterwards. A reservation that is settled already changes nothing and returns none.
        """

    async def settle_lost(self, run_id: int) -> int:
        """Settle what a worker that died had reserved for a run, as if all of it was used; return how many.

        `lease_run` does the same in its own transaction.
        """

    async def balance(self, account: str) -> Balance:
        """Return where an account stands; zeros for one that is unknown."""

    async def prune(self, older_than: float) -> int:
        """Forget a batch of what has been over for so many seconds, never what is unfinished; return its rows.

        Steps of ended runs, messages heard and sent, events handled, fires (but not those of files); runs, ledger and
        audit log stay. What was set aside a day ago and never settled counts as used.
        """

    async def audit(self, kind: str, session_id: str, detail: dict[str, Any]) -> None:
        """Append to the audit log, without the secrets that the log hides.

        The journal itself notes there, in the transaction of what it tells: messages, runs, planned steps, approvals
        asked for and decided, answers, events, fires, and what a StepChange brings as its `note`.
        """

    async def audit_entries(
        self, *, session_id: str | None = None, kind: str | None = None, since: float = 0.0, limit: int = 100
    ) -> list[AuditEntry]:
        """Return the newest entries of the audit log (of a session, of a kind, since a time), oldest first."""

    async def audit_after(self, entry_id: int, limit: int = 1_000) -> list[AuditEntry]:
        """Return the entries of the audit log after one, oldest first: what `domain.audit.Chain` checks."""

    async def get_value(self, key: str) -> str | None:
        """Return a small durable value, such as Telegram's offset."""

    async def set_value(self, key: str, value: str) -> None:
        """Set a small durable value."""

    async def receive_and_set(self, messages: Sequence[InboundMessage], key: str, value: str) -> list[InboundMessage]:
        """`receive` and `set_value` in one transaction: the offset moves only with the messages."""

    async def backlog(self) -> Backlog:
        """Return how much waits in the journal, counted."""

    # --- triggers and events ------------------------------------------------------------------------------------
    async def create_trigger(self, trigger: Trigger) -> bool:
        """Insert a trigger; False when its id is there already, which is left as it is."""

    async def get_trigger(self, trigger_id: str) -> Trigger | None:
        """Return a trigger."""

    async def triggers(self, session_id: str | None = None, kind: TriggerKind | None = None) -> list[Trigger]:
        """Return triggers, the oldest first."""

    async def update_trigger(self, trigger: Trigger, *, moved: bool) -> bool:
        """Replace a trigger but for its id, its history and its beginning; its next time too if it `moved`.

        False when there is none.
        """

    async def enable_trigger(self, trigger_id: str, next_fire: float | None) -> bool:
        """Switch a trigger on, with its next time; False when there is none."""

    async def disable_trigger(self, trigger_id: str) -> bool:
        """Switch a trigger off: it has no next time then. False when there is none."""

    async def delete_trigger(self, trigger_id: str) -> bool:
        """Delete a trigger and its fires; its runs stay. False when there is none."""

    async def due_triggers(self, limit: int = 100, channel: str = "") -> list[Trigger]:
        """Return enabled triggers (of a channel's chats) whose time has come, the earliest first."""

    async def next_due(self, channel: str = "") -> float | None:
        """Return the earliest time at which an enabled trigger (of a channel's chats) fires, in seconds since 1970."""

    async def fire(
        self,
        fire: Fire,
        *,
        run: Run | None = None,
        message: OutboundMessage | None = None,
        moved: tuple[float, float | None] | None = None,
    ) -> tuple[Fire, Run | None] | None:
        """Record a fire together with the run that it opens or the message that it posts; None when it must not be.

        It must not be when its key has fired, when the trigger is gone, or, with `moved` (the scheduled time that fires
        and the one after it), when the trigger is off or stands at another time. The trigger's overlap policy decides
        whether a fire becomes a run, waits or is skipped.
        """

    async def start_waiting(self, fire_id: int, run: Run | None) -> tuple[Fire, Run | None] | None:
        """Let a waiting fire begin, with its run or (None) as a pending one; None while it has to wait."""

    async def settle_fire(self, fire_id: int, status: FireStatus, *, run_id: int | None = None, why: str = "") -> None:
        """Note what a pending fire has led to."""

    async def unsettled_fires(self, status: FireStatus, limit: int = 1000) -> list[Fire]:
        """Return fires with this status, oldest first."""

    async def reschedule(self, trigger_id: str, expected: float, next_fire: float | None) -> bool:
        """Move a trigger to another time without a fire; False when it stands elsewhere by now."""

    async def fires_of(self, trigger_id: str, limit: int = 20) -> list[Fire]:
        """Return a trigger's newest fires with the status of their runs, newest first."""

    async def fires_with(self, key: str) -> list[Fire]:
        """Return the fires of all triggers for one key (`event:` and an event's), with their runs' status."""

    async def fired_keys(self, trigger_id: str, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that have fired."""

    async def publish(self, event: Event) -> Event | None:
        """Store an event; None when one with its key is there already."""

    async def events(self, status: str, limit: int = 1000, *, project: str | None = None) -> list[Event]:
        """Return events with a status (`new`, `handled`, `dead`), oldest first.

        New events of a paused project are left out, unless that `project` is asked for.
        """

    async def newest_events(self, limit: int = 20, *, status: str = "", project: str = "") -> list[Event]:
        """Return events (with a status, of a project), newest first; also those of paused projects."""

    async def event_numbered(self, event_id: int) -> Event | None:
        """Return the event with this `id`."""

    async def requeue_event(self, event_id: int) -> bool:
        """Make a dead event new again; False when it is not dead."""

    async def get_event(self, key: str) -> Event | None:
        """Return the event with this key."""

    async def settle_event(self, event_id: int, status: str, error: str = "") -> None:
        """Note what became of an event."""

    # --- projects and chains ------------------------------------------------------------------------------------
    async def put_project(self, project: Project) -> Project:
        """Insert a project, or change budget, warn_at and dest of the one with its name; return it as it is stored.

        With another budget it may warn again. What it has spent and whether it is paused stay as they are.
        """

    async def get_project(self, name: str) -> Project | None:
        """Return a project."""

    async def projects(self) -> list[Project]:
        """Return every project, oldest first."""

    async def pause_project(self, name: str, *, paused: bool) -> bool:
        """Pause a project or let it go on; False when there is none."""

    async def warn_project(self, name: str, message: OutboundMessage) -> bool:
        """Note that a project's warning was given and post it, in one transaction; False when it was given before."""

    async def project_status(self, name: str) -> ProjectStatus | None:
        """Return a project with its balance (account `project:NAME`), its runs and its events, counted by status."""

    async def create_chain(self, chain: Chain) -> bool:
        """Insert a chain; False when its id or its name is there already, which is left as it is."""

    async def get_chain(self, name: str) -> Chain | None:
        """Return the chain with this id or name."""

    async def chains(self) -> list[Chain]:
        """Return every chain, oldest first."""

    async def delete_chain(self, chain_id: str) -> bool:
        """Delete a chain; its runs stay. False when there is none."""

    # --- people -------------------------------------------------------------------------------------------------
    async def people(self, channel: str = "") -> list[Person]:
        """Return everybody who was let in or blocked ("" means on every channel), the earliest first."""

    async def put_person(self, person: Person) -> None:
        """Insert a person, or change the name, role and language of the one who is there."""

    async def remove_person(self, channel: str, user_id: str) -> bool:
        """Forget a person; False when there is none."""

    async def add_pairing_code(self, digest: str, role: str, seconds: float) -> None:
        """Note the hash of a code that lets one person in, with a role, within so many seconds."""

    async def pair(self, person: Person, digest: str) -> Pairing:
        """Let a person in by a code, which is used up with it; their role is the code's.

        Every try counts: five of one person and thirty of all within ten minutes, then `Pairing.wait`. An owner stays
        one, and somebody who is blocked stays blocked.
        """

    async def revive(self, session_id: str, error: str, seconds: float) -> None:
        """Have sent what was posted in the last `seconds` to a chat or its topics and given up with this error."""

    async def find_message(self, channel: str, session_id: str, message_id: str) -> InboundMessage | None:
        """Return a message of a session by its id in the chat, if it is among the newest few hundred."""
