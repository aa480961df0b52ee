"""What Telegram's answers mean for a delivery: done, later, never, or unknown."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from telegram.error import (
    BadRequest,
    ChatMigrated,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from agent.errors import ChannelError, DeliveryDelayed, DeliveryRefused, DeliveryUnknown

if TYPE_CHECKING:
    from collections.abc import Iterator

MENDED = 10.0  # seconds between two tries with a token that was revoked
# The request never left, so it can't have arrived.
NEVER_LEFT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
DELETED = ("message to edit not found", "message_id_invalid")
GONE = (*DELETED, "message can't be edited", "there is no text in the message")
NO_CHAT = (
    *("chat not found", "user is deactivated", "group chat was deactivated", "peer_id_invalid"),
    *("not enough rights to send text", "have no rights to send a message", "chat_write_forbidden", "topic_closed"),
)
TOO_LONG = ("message is too long", "message_too_long")
TOO_LARGE = ("request entity too large", "file is too big")
PLAIN = ("can't parse", "entity", "entities")


def says(error: BaseException, *phrases: str) -> bool:
    """Tell whether the error's text contains one of the phrases; Telegram changes their case between versions."""
    text = str(error).lower()
    return any(phrase.lower() in text for phrase in phrases)


def is_unmodified(error: BadRequest) -> bool:
    """Tell whether the message already looks as it should."""
    return says(error, "message is not modified")


def is_gone(error: BadRequest) -> bool:
    """Tell whether the message can't be edited any more, so that a new one has to take its place."""
    return says(error, *GONE)


def is_deleted(error: BadRequest) -> bool:
    """Tell whether there is no such message: a person may have deleted it."""
    return says(error, *DELETED)


def is_closed(refused: DeliveryRefused) -> bool:
    """Tell whether a refusal means that the bot may not write to the chat at all: blocked, thrown out, chat gone."""
    cause = refused.__cause__
    return isinstance(cause, Forbidden) or (isinstance(cause, BadRequest) and says(cause, *NO_CHAT))


def dislikes_formatting(error: BadRequest) -> bool:
    """Tell whether the text would do without its entities."""
    return says(error, *PLAIN)


def is_too_long(error: BadRequest) -> bool:
    """Tell whether the text has no room in a message, so that it has to be a file."""
    return says(error, *TOO_LONG)


def is_too_large(error: TelegramError) -> bool:
    """Tell whether Telegram does not take so large a file."""
    return says(error, *TOO_LARGE)


def never_left(error: BaseException) -> bool:
    """Tell whether the request can't have arrived."""
    return type(error.__cause__).__name__ in NEVER_LEFT


@contextmanager
def delivering(what: str, *, repeatable: bool = False) -> Iterator[None]:
    """Turn Telegram's errors into the house's; `repeatable` says that doing it twice is harmless (an edit).

    BadRequest is a NetworkError in the library and means the opposite: it is looked at first.
    """
    try:
        yield
    except RetryAfter as error:
        raise DeliveryDelayed(f"Telegram asks to slow down ({what}).", retry_after=seconds_of(error)) from error
    except (Forbidden, ChatMigrated, BadRequest) as error:
        raise DeliveryRefused(f"Telegram refused {what}: {error}") from error
    except (InvalidToken, EndPointNotFound) as error:
        # The token may be mended, and what waits must not be lost over it.
        raise DeliveryDelayed(f"Telegram does not accept the bot's token ({what}).", retry_after=MENDED) from error
    except NetworkError as error:
        raise _network(error, what, repeatable=repeatable) from error
    except TelegramError as error:
        raise DeliveryUnknown(f"Telegram's answer to {what} was not understood: {error}") from error


def seconds_of(error: RetryAfter) -> float:
    """Return how long Telegram wants to be left alone."""
    wait = error.retry_after
    return float(wait) if isinstance(wait, (int, float)) else wait.total_seconds()


def _network(error: NetworkError, what: str, *, repeatable: bool) -> ChannelError:
    if repeatable or never_left(error):
        return DeliveryDelayed(f"Telegram could not be reached for {what}: {error}", retry_after=0.0)
    return DeliveryUnknown(f"The connection ended before Telegram confirmed {what}: {error}")
