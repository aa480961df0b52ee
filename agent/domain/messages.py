"""What comes in and what goes out, the same for every channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agent.errors import correlation_id

STOP_WORDS = frozenset({"stop", "/stop", "/cancel", "stopp", "halt", "стоп", "停", "停止", "arrête"})
MARKS = " .!。！"
REPLY = "reply:"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who hears a message (one of several processes), and for how many seconds that is good."""

    owner: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Destination:
    """A place in a channel: chat, and topic within it. `reply_to` is the message that an answer replies to.

    `language` is that of the person who is spoken to, when it is another of ours than English.
    """

    channel: str
    chat_id: str
    thread_id: str = ""
    chat_type: str = "private"
    reply_to: str = ""
    language: str = ""

    @property
    def session_id(self) -> str:
        """The session's key: one session per chat and topic."""
        return ":".join(part for part in (self.channel, self.chat_id, self.thread_id) if part)

    def to_json(self) -> dict[str, str]:
        """Return the record as the journal stores it."""
        return {
            "channel": self.channel,
            "chat_id": self.chat_id,
            "thread_id": self.thread_id,
            "chat_type": self.chat_type,
            "reply_to": self.reply_to,
            **({"language": self.language} if self.language else {}),
        }

    @classmethod
    def of(cls, place: Mapping[str, Any] | Destination | str) -> Destination:
        """Return a place from one, from a dictionary with at least `chat_id`, or from a chat's id."""
        if isinstance(place, Destination):
            return place
        return cls.from_json({"chat_id": place} if isinstance(place, str) else dict(place))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Destination:
        """Read what `to_json` wrote, or a dictionary with at least `chat_id`."""
        return cls(
            channel=str(stored.get("channel", "direct")),
            chat_id=str(stored.get("chat_id", "0")),
            thread_id=str(stored.get("thread_id") or ""),
            chat_type=str(stored.get("chat_type", "private")),
            reply_to=str(stored.get("reply_to") or ""),
            language=str(stored.get("language") or ""),
        )


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message.

    `path` is where the channel has stored it (outside every workspace) or "" until it is downloaded with `file_id`.
    `trusted` is False for a forwarded file or one of a group member who is no owner. `kind`: `photo`, `voice`,
    `video_note`, `audio`, …, "" when the channel does not tell; `seconds` is how long a recording is.
    """

    name: str
    path: str = ""
    file_id: str = ""
    mime: str = ""
    size: int = 0
    trusted: bool = True
    kind: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message or a button press. `(channel, update_id)` makes it idempotent.

    `text` is what the person typed; forwarded and quoted text stays in `quoted` and is never trusted. `action` is set
    for a button press only. `trusted` says that the sender is an owner. `id` is the inbox row, 0 before it is stored.
    `forwarded` says that all of it is somebody else's.
    """

    channel: str
    update_id: str
    dest: Destination
    user_id: str
    text: str = ""
    action: str = ""
    message_id: str = ""
    user_name: str = ""
    language: str = "en"
    quoted: str = ""
    reply_to: str = ""
    attachments: tuple[Attachment, ...] = ()
    trusted: bool = True
    received_at: float = 0.0
    id: int = 0
    forwarded: bool = False

    @property
    def corr_id(self) -> str:
        """The id that all log lines about this message carry, and the run that it opens; it is always the same."""
        return correlation_id(self.channel, self.dest.session_id, self.update_id)

    @property
    def reply_key(self) -> str:
        """The key in the outbox of what is said at once to this message, as a command's answer is."""
        return f"{REPLY}{self.channel}:{self.update_id}"

    @property
    def waits_its_turn(self) -> bool:
        """Whether it is heard after what was said before it; presses and "stop" don't wait behind what they stop."""
        return not self.action and not is_stop(self.text)


def is_stop(text: str) -> bool:
    """Tell whether the person wants the work to stop: `/stop` or the bare word, in whatever language we know it."""
    return text.strip().strip(MARKS).casefold() in STOP_WORDS


class MessageKind(StrEnum):
    """What an outgoing message is; a channel renders each in its own way.

    Payloads: `plan` PlanView as a dictionary, with `foretold` (what it will do, in words) where it is to be shown, and
    `asks_first` when some of it asks · `question` {question, options, number, of, id} · `approval` {title, details,
    because, id, expires}, or {id, calls: [such payloads, each with its number], open: how many} · `answer`
    {text, final}, and `draft` where it grows in the channel's drafts · `files` {paths (absolute), caption} ·
    `notice` {text} · `error` {text, hint, ref}. Any payload may hold `buttons`: [[{label, action}, …], …].
    """

    PLAN = "plan"
    QUESTION = "question"
    APPROVAL = "approval"
    ANSWER = "answer"
    FILES = "files"
    NOTICE = "notice"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """A message as it should look now.

    `key` names it for good: posting the same key again changes the message (an edit once it was sent), posting an equal
    payload changes nothing. `version` counts payloads, `sent_version` is the one that the person sees, `message_id` is
    the channel's id once it is known.
    """

    dest: Destination
    kind: MessageKind
    key: str
    payload: dict[str, Any] = field(default_factory=dict)
    session_id: str = ""
    run_id: int | None = None
    id: int = 0
    version: int = 1
    sent_version: int = 0
    message_id: str = ""
    state: str = "pending"
    attempts: int = 0
    error: str = ""


class Bot(Protocol):
    """How the orchestrator speaks: everything is posted to the outbox; only signs of life are not kept."""

    async def post(self, message: OutboundMessage) -> None:
        """Store the message (committed when this returns) and have it sent."""

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show or stop showing that work is going on (a chat action, a spinner)."""


class Door(Protocol):
    """What takes messages, commands and presses of its own before they become runs, such as schedules.

    `commands` are with their slash; `actions` are the first parts of its buttons' actions (`t` for `t/ID/run`).
    Who says nothing of messages leaves every one to others.
    """

    commands: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()

    async def wish(self, message: InboundMessage) -> bool:  # noqa: ARG002  # for those that take some
        """Take a message that is its own; False for every other."""
        return False

    async def obey(self, message: InboundMessage) -> None:
        """Answer one of its commands."""

    async def press(self, message: InboundMessage) -> str:  # noqa: ARG002  # for those that have buttons
        """Act on one of its buttons and return what to show for it."""
        return ""
