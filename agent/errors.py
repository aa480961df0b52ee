"""Every error Dirigent raises on purpose, in one tree.

DirigentError                 message: what happened; hint: the way on; transient: it may pass without anybody's doing
├── MachineFailed             try again: the machine was in the way (disk, memory, open files)
│   ├── JournalFailed         try again: the journal could not be read or written just now
│   └── StorageFailed         try again: the storage of sessions' files could not be reached just now
├── ConfigError               a setting is missing, unknown or wrong
│   ├── NameTaken             something else has the name that was to be given
│   ├── JournalUnusable       the journal is damaged or out of bounds; what waits for it goes on when that is mended
│   └── StorageUnusable       the storage of sessions' files refuses; what waits for it goes on when that is mended
├── PlanError                 a plan cannot be run as it stands; carries every problem found
├── IllegalTransition         a run or step was asked to enter a state that its present state does not lead to
├── StaleLease                a write came from a worker that no longer owns the run
├── NotFound                  an id that names nothing
├── LimitReached              a limit held; carries its name, value, what was used and where it is set
│   └── OverBudget            a call would have taken an account past its cap; the call was not made
├── ToolError                 a tool could not do its work
│   ├── ToolUnknown           no such tool, or not for this profile
│   └── ToolArguments         the arguments do not fit the tool's parameters
├── ModelError                the model could not answer
│   ├── ModelUnavailable      try again: busy, unreachable, overloaded, stalled
│   ├── ModelRefused          failed for good: wrong key, unknown model, bad request
│   │   └── PromptTooLong     the request is larger than the model's context; a shorter one may do
│   └── ModelRubbish          it answered, but not in a form that can be used
└── ChannelError              a message could not be delivered
    ├── DeliveryRefused       failed for good: chat gone, bot blocked, content refused
    ├── DeliveryDelayed       try again after `retry_after` seconds
    └── DeliveryUnknown       it may have arrived: never resend blindly
"""

from __future__ import annotations

import errno
import hashlib
import secrets
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS_TO_MEND = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
A_PATH_IS_WRONG = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})


class DirigentError(Exception):
    """An error a person can act on: `message` says what happened, `hint` the way on.

    `transient` says that the same may work later, as it is; what is not is final until somebody puts something right.
    """

    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class MachineFailed(DirigentError):
    """Try again: the machine was in the way; a full disk, no memory, no open files left, a fault of a disk."""

    transient = True


class JournalFailed(MachineFailed):
    """Try again: the journal could not be read or written just now: it is locked, full or out of reach."""


class StorageFailed(MachineFailed):
    """Try again: the storage of sessions' files is out of reach, busy, or broke off."""


class ConfigError(DirigentError):
    """A setting is missing, unknown or wrong."""


class NameTaken(ConfigError):
    """Something else has the name that was to be given."""


class JournalUnusable(ConfigError):
    """The journal is damaged or may not be written. Nothing is given up for that: it goes on when this is mended."""

    transient = True


class StorageUnusable(ConfigError):
    """The storage of sessions' files refuses: wrong bucket, key or rights. Nothing is given up for that."""

    transient = True


class PlanError(DirigentError):
    """A plan cannot be run as it stands; `problems` lists everything found, one sentence each.

    The message holds them all after `lead`; the hint is the way on.
    """

    def __init__(self, problems: Sequence[str], *, hint: str = "", lead: str = "") -> None:
        super().__init__(f"{lead} {'; '.join(problems)}".strip(), hint=hint)
        self.problems = tuple(problems)


class IllegalTransition(DirigentError):
    """A run or step was asked to enter a state that its present state does not lead to."""


class StaleLease(DirigentError):
    """A write came from a worker that no longer owns the run."""


class NotFound(DirigentError):
    """An id that names nothing."""


class LimitReached(DirigentError):
    """A limit held. `setting` is the configuration key that sets it."""

    def __init__(self, limit: str, *, value: float, used: float, setting: str) -> None:
        super().__init__(
            f"The limit on {limit} is {value:g}, and {used:g} would be used.",
            hint=f"Raise `{setting}` in dirigent.toml if this is wanted.",
        )
        self.limit = limit
        self.value = value
        self.used = used
        self.setting = setting


class OverBudget(LimitReached):
    """A call would have taken an account past its cap; it was not made, and nothing was spent.

    `account` is its key, such as `run:7`. `pauses` says that a person may let the run go on by raising its own budget.
    `kept` is what a step has put aside to go on from.
    """

    def __init__(self, message: str, *, hint: str, account: str, value: float, used: float, setting: str) -> None:
        DirigentError.__init__(self, message, hint=hint)
        self.limit = account
        self.account = account
        self.value = value
        self.used = used
        self.setting = setting
        self.pauses = False
        self.kept: object = None


class ToolError(DirigentError):
    """A tool could not do its work."""


class ToolUnknown(ToolError):
    """No such tool, or not for this profile."""


class ToolArguments(ToolError):
    """The arguments do not fit the tool's parameters."""


class ModelError(DirigentError):
    """The model could not answer."""


class ModelUnavailable(ModelError):
    """Try again: the server is busy, unreachable, overloaded, or its stream stalled."""

    transient = True


class ModelRefused(ModelError):
    """Failed for good: wrong key, unknown model, bad request."""


class PromptTooLong(ModelRefused):
    """The request is larger than the model's context; a shorter one may do.

    `window` is the context in tokens and `prompt` what the request had, as far as the server says so (else 0).
    """

    def __init__(self, message: str, *, hint: str = "", window: int = 0, prompt: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.window = window
        self.prompt = prompt


class ModelRubbish(ModelError):
    """The model answered, but not in a form that can be used."""


class ChannelError(DirigentError):
    """A message could not be delivered."""


class DeliveryRefused(ChannelError):
    """Failed for good: the chat is gone, the bot is blocked, the content was refused."""


class DeliveryDelayed(ChannelError):
    """Try again after `retry_after` seconds."""

    transient = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeliveryUnknown(ChannelError):
    """The connection ended before the answer: the message may have arrived. Never resend blindly."""


def may_pass(error: BaseException) -> bool:
    """Tell whether what failed may work later as it is: the machine was in the way, not what was asked for.

    False for what a person has to put right, a wrong path among it, and for faults that nobody has foreseen.
    """
    if isinstance(error, DirigentError):
        return error.transient
    if isinstance(error, OSError):
        return not isinstance(error, OURS_TO_MEND) and error.errno not in A_PATH_IS_WRONG
    return isinstance(error, MemoryError)


def reference_id() -> str:
    """Return a short id such as `E-7F2A` that a person can quote and a log line carries."""
    return f"E-{secrets.token_hex(2).upper()}"


def correlation_id(*of: str) -> str:
    """Return an id such as `E-7F2A91C4` that all lines of one request carry: of some words always the same, or new."""
    told = hashlib.sha256("\0".join(of).encode()).hexdigest() if of else secrets.token_hex(4)
    return f"E-{told[:8].upper()}"
