"""What the rest of the agent knows of a model: the `LLM` protocol and its records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agent.domain.ledger import Usage

PIXELS_A_TOKEN, LEAST_PICTURE_TOKENS, MOST_PICTURE_TOKENS = 750, 85, 1_600


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that the model wants called. `arguments` is the raw JSON text that it wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a model gets it: a JPEG or PNG file without the camera's data, its sides in pixels."""

    data: bytes
    width: int
    height: int
    mime: str = "image/jpeg"

    @property
    def tokens(self) -> int:
        """What looking at it takes, about, whoever's model it is: a token for 750 pixels, and never more than 1,600."""
        return max(LEAST_PICTURE_TOKENS, min(MOST_PICTURE_TOKENS, self.width * self.height // PIXELS_A_TOKEN))


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation with a model. `images` come before the words, in messages of the user only."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_requests: tuple[ToolRequest, ...] = ()
    tool_call_id: str = ""
    images: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One call.

    `purpose` is `plan`, `answer`, `task`, `step` or `memory`: it goes into the ledger and the log. `tools` are
    OpenAI-style function schemas. `schema` asks for a JSON object of that JSON Schema (structured-output ladder).
    `model` overrides the configured one. With `must_see` a model that can't look at pictures refuses the call; else it
    is told how many it did not get.
    """

    purpose: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[dict[str, Any], ...] = ()
    schema: dict[str, Any] | None = None
    schema_name: str = "result"
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    model: str | None = None
    must_see: bool = False

    @property
    def pictures(self) -> int:
        """How many pictures go along."""
        return sum(len(message.images) for message in self.messages)

    @property
    def picture_tokens(self) -> int:
        """The tokens that the pictures take, about."""
        return sum(picture.tokens for message in self.messages for picture in message.images)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer (never of the model's hidden thoughts)."""

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should see while waiting, such as "The model server is busy; trying again in 4 s"."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last item of a stream. `reason`: stop, length, tool_calls, repeated, filtered."""

    reason: str
    usage: Usage
    text: str = ""
    tool_requests: tuple[ToolRequest, ...] = field(default=())


class LLM(Protocol):
    """A model.

    Both calls raise ModelUnavailable (after their own retries), ModelRefused or ModelRubbish.
    """

    name: str

    @property
    def window(self) -> int:
        """The context size in tokens; it may turn out to be smaller than it was thought to be."""

    def stream(self, request: LLMRequest) -> AsyncIterator[TextDelta | Notice | Finished]:
        """Stream an answer: deltas and notices, then exactly one Finished."""

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the whole answer at once. With `schema`, `text` is valid JSON of that schema."""

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, exactly or by a calibrated estimate."""

    async def close(self) -> None:
        """Close connections."""


@runtime_checkable
class Priced(Protocol):
    """A model that knows what it costs; of one that does not, only tokens are counted."""

    def price(self, prompt_tokens: int, completion_tokens: int, model: str | None = None) -> float | None:
        """Return the US dollars that a call costs (of another model than its own, if one is named); None if unknown."""


@runtime_checkable
class Seeing(Protocol):
    """A model that may be able to look at pictures; one that is not of this kind never gets any."""

    def sees(self, model: str | None = None) -> bool:
        """Return False once it is known that it (or another model, if one is named) can't."""


@runtime_checkable
class Frugal(Protocol):
    """A model whose prompts are made to fit; whoever leaves something out of one itself says so."""

    def left_out(self, what: str) -> None:
        """Note that a prompt had to do without something; `what` is an English part of a sentence of ours."""
