"""Scripts for the fake model server: answers, rules that choose among them, and the file form of both."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from agent.errors import ConfigError

TOKEN = re.compile(r"\s?[^\W_]{1,8}|\s?[^\w\s]+|_+|\s+")


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer.

    `tool_calls` are (name, arguments) pairs, arguments as an object or as raw text. `reasoning` streams before the text
    as `reasoning_content`. `tokens_per_second` 0 means all at once; `first_token_seconds` is the wait before the first
    chunk, which comes not before the event `gate`, if any. `finish` overrides the finish reason.

    Faults: `status` other than 200 answers with an error (`error` is its message or whole body, `code` its code,
    `retry_after` the header, in seconds or as a date); `drop_after`, `stall_after` and `bad_chunk_after` cut the
    connection, fall silent, or send a broken chunk after so many content chunks (`drop_after=-1`: before the headers);
    `stream_error` sends an error event after the content; `usage=False` reports none; `done=False` leaves out `[DONE]`.
    `whole=True` answers a stream request with one JSON document. `split_bytes` cuts the stream into packets of so many
    bytes.
    """

    text: str = ""
    tool_calls: tuple[tuple[str, Any], ...] = ()
    reasoning: str = ""
    finish: str = ""
    tokens_per_second: float = 0.0
    first_token_seconds: float = 0.0
    gate: asyncio.Event | None = None
    status: int = 200
    error: Any = "The server had an error while processing your request."
    code: str | None = None
    param: str | None = None
    retry_after: str | float | None = None
    drop_after: int | None = None
    stall_after: int | None = None
    bad_chunk_after: int | None = None
    stream_error: Any = None
    usage: bool = True
    done: bool = True
    whole: bool = False
    split_bytes: int = 0


Scripted = Answer | str | dict[str, Any]
Script = Callable[[dict[str, Any]], Scripted]


@dataclass(slots=True)
class Rule:
    """Gives its answers, in turn and then the last one for good, to the requests that it fits.

    `when` is searched for in the last user message, `system` in the system messages, `anywhere` in all messages
    (regular expressions, ignoring case). `purpose` is searched for in the system messages too: it names what the call
    is for by a word of its prompt. `tools` says whether the request must offer tools. `times` bounds how often the rule
    serves; 0 is unbounded.
    """

    answers: tuple[Scripted, ...]
    when: str = ""
    system: str = ""
    purpose: str = ""
    anywhere: str = ""
    tools: bool | None = None
    times: int = 0
    served: int = 0

    def fits(self, request: dict[str, Any]) -> bool:
        """Return True when this rule answers the request."""
        if self.times and self.served >= self.times:
            return False
        if self.tools is not None and self.tools != bool(request.get("tools")):
            return False
        users = [m for m in request["messages"] if m["role"] == "user"]
        systems = [m for m in request["messages"] if m["role"] in {"system", "developer"}]
        checks = (
            (self.when, users[-1:]),
            (self.system, systems),
            (self.purpose, systems),
            (self.anywhere, request["messages"]),
        )
        return all(not pattern or _found(pattern, messages) for pattern, messages in checks)

    def serve(self) -> Scripted:
        """Return the next answer."""
        self.served += 1
        return self.answers[min(self.served, len(self.answers)) - 1]


def _found(pattern: str, messages: Iterable[dict[str, Any]]) -> bool:
    text = "\n".join(str(message.get("content") or "") for message in messages)
    return re.search(pattern, text, re.IGNORECASE) is not None


@dataclass(slots=True)
class Playbook:
    """What the server says: rules first, then the queue in order, then `default`."""

    queue: list[Scripted | Script] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    default: Scripted | Script | None = None

    def answer(self, request: dict[str, Any]) -> Answer:
        """Return the answer to a request; a script that has run out answers with status 500."""
        rule = next((rule for rule in self.rules if rule.fits(request)), None)
        chosen: Scripted | Script | None
        if rule is not None:
            chosen = rule.serve()
        elif self.queue:
            chosen = self.queue.pop(0)
        else:
            chosen = self.default
        if callable(chosen):
            chosen = chosen(request)
        if chosen is None:
            return Answer(status=500, error="The script holds no further answer for this request.")
        return as_answer(chosen)


def as_answer(scripted: Scripted) -> Answer:
    """Make an Answer of a text or of a dictionary with Answer's fields. Raises ConfigError for an unknown field."""
    if isinstance(scripted, Answer):
        return scripted
    if isinstance(scripted, str):
        return Answer(text=scripted)
    known = {entry.name for entry in fields(Answer)} - {"gate"}  # no file holds an event
    unknown = sorted(set(scripted) - known)
    if unknown:
        raise ConfigError(f"The script has an answer with {unknown[0]!r}.", hint=f"Known: {', '.join(sorted(known))}.")
    settled = dict(scripted)
    if not isinstance(settled.get("text", ""), str):
        settled["text"] = json.dumps(settled["text"])
    settled["tool_calls"] = tuple((name, arguments) for name, arguments in settled.get("tool_calls", ()))
    return Answer(**settled)


def load_script(path: Path) -> Playbook:
    """Read a script file: a list whose entries are answers (texts or objects) or rules.

    A rule is an object with `answer` or `answers` and any of Rule's conditions; `{"default": …}` serves when nothing
    else does. Raises ConfigError that names the file and the entry.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The script {path} cannot be read: {error}.", hint="It must be a JSON list.") from error
    if not isinstance(entries, list):
        raise ConfigError(f"The script {path} is no list.", hint="Write [answer, …] or [rule, …].")
    book = Playbook()
    for number, entry in enumerate(entries, 1):
        try:
            _add(book, entry)
        except (ConfigError, TypeError, ValueError, re.error) as error:
            raise ConfigError(f"Entry {number} of the script {path} is wrong: {error}") from error
    return book


def _add(book: Playbook, entry: Any) -> None:
    if isinstance(entry, dict) and "default" in entry:
        book.default = as_answer(entry["default"])
    elif isinstance(entry, dict) and ("answer" in entry or "answers" in entry):
        settled = dict(entry)
        answers = settled.pop("answers", None) or [settled.pop("answer")]
        rule = Rule(answers=tuple(as_answer(answer) for answer in answers), **settled)
        for pattern in (rule.when, rule.system, rule.purpose, rule.anywhere):
            re.compile(pattern)
        book.rules.append(rule)
    else:
        book.queue.append(as_answer(entry))


def tokens_of(text: str) -> list[str]:
    """Cut a text into pieces of about the size that models stream; joined they are the text."""
    return TOKEN.findall(text)
