"""The log: one rotated file in the home, readable or JSON lines, every line with a correlation id, no secret in any.

Redaction happens where a line is written, after the traceback was rendered, so nothing that is logged gets around it:
not an argument, not an exception's text, not a library that logs through `logging` (an HTTP client logs whole URLs, and
Telegram's hold the bot's token).
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import sys
import traceback
import urllib.parse
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

from agent.errors import correlation_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loguru import Message, Record

HIDDEN = "[hidden]"
FILE_BYTES = 5_000_000
OLD_FILES = 5
LINE_BYTES = 10_000  # a file this near to being full is full: one line more would be too much
# A shorter value is a word that ordinary text contains; hiding it would only garble the log.
SHORTEST_SECRET = 6

PATTERNS = re.compile(
    r"""
    (?<!\d)\d{6,12}:[A-Za-z0-9_-]{30,}                      # Telegram bot token, also as `/bot…/` in an address
    | \b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}                     # keys of model servers
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+     # JSON Web Token
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)                       # user:password in an address
    | (?<=bearer\s)[A-Za-z0-9._~+/=-]{8,}
    | (?<=-----BEGIN\sPRIVATE\sKEY-----)[^-]+
    """,
    re.VERBOSE | re.IGNORECASE,
)

# What each of the patterns needs, so that ordinary text is not searched for all of them: that takes four times as long.
NEEDED = re.compile(r":[a-z0-9_-]{30}")
NEEDED_WORDS = (
    *("sk-", "pk-", "rk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "akia", "asia", "eyj"),
    *("://", "bearer", "private"),
)


class Redactor:
    """Replaces known secret values, in every spelling they are logged in, and whatever looks like a key."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: tuple[str, ...] = ()
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Hide these values from now on; values of less than 6 characters are left to the patterns."""
        fresh = {spelling for value in values if len(value) >= SHORTEST_SECRET for spelling in _spellings(value)}
        # Longest first: a secret that contains another is hidden whole.
        self._values = tuple(sorted({*self._values, *fresh}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        return PATTERNS.sub(HIDDEN, text) if _may_hold_a_key(text) else text


def _may_hold_a_key(text: str) -> bool:
    folded = text.casefold()
    return any(word in folded for word in NEEDED_WORDS) or NEEDED.search(folded) is not None


def _spellings(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode()).decode()
    return {value, urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1], encoded}


redact = Redactor()
"""The process's redactor: `set_up_logs` teaches it the configured secrets. Use it for error texts, too."""

current: Path | None = None
"""The file that is logged to now."""


def set_up_logs(
    folder: Path,
    *,
    level: str = "INFO",
    as_json: bool = False,
    secrets: Iterable[str] = (),
    to_stderr: bool = False,
) -> Path:
    """Log to `folder/dirigent.log` (0600, rotated at 5 MB, five kept) and return that file.

    `to_stderr` also shows warnings there (for a service whose output is collected). Replaces every earlier sink.
    """
    global current  # noqa: PLW0603 - a process has one log
    redact.add(secrets)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "dirigent.log"
    render = as_json_line if as_json else as_line
    logger.remove()
    logger.configure(extra={"corr": "-"})
    logger.add(_LogFile(file, render), level=level, format="{message}", backtrace=False, diagnose=False)
    if to_stderr:
        stream = _Stream(sys.stderr, render)
        logger.add(stream, level=max(level, "INFO", key=_number), format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_FromLogging()], level=logging.INFO, force=True)
    # These say a line for each request, each poll, each font.
    for chatty in ("httpx", "httpx2", "httpcore", "telegram", "openai", "matplotlib", "fontTools", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    current = file
    return file


def _number(level: str) -> int:
    return logger.level(level).no


def close_logs() -> None:
    """Close the file; later messages are dropped."""
    global current  # noqa: PLW0603 - a process has one log
    logger.remove()
    current = None


@dataclass(slots=True)
class _Request:
    """Whose lines are logged now; `taken` once a run has its id."""

    corr_id: str
    taken: bool = False


_request: ContextVar[_Request | None] = ContextVar("request", default=None)


@contextlib.contextmanager
def correlated(corr_id: str, *, is_run: bool = False) -> Iterator[None]:
    """Give every line that is logged in this block, and in tasks and threads started in it, this correlation id.

    `is_run` says that it is a run's own, which another run does not get; see `own_id`.
    """
    known = _request.get()
    if known is None or known.corr_id != corr_id:
        known = _Request(corr_id, is_run)
    token = _request.set(known)
    try:
        with logger.contextualize(corr=corr_id):
            yield
    finally:
        _request.reset(token)


def present_id() -> str:
    """Return the correlation id that lines get here, "" where there is none."""
    known = _request.get()
    return known.corr_id if known is not None else ""


def own_id() -> str:
    """Return the correlation id for a run that is opened here: its message's, for the first one, else a new one."""
    known = _request.get()
    if known is None or known.taken:
        return correlation_id()
    known.taken = True
    return known.corr_id


class _LogFile:
    """A loguru sink: renders, redacts, writes, rotates."""

    def __init__(self, file: Path, render: Any) -> None:
        file.touch(mode=0o600)
        self._handler = _SharedFile(file, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
        self._render = render

    def write(self, message: Message) -> None:
        line = redact(self._render(message.record))
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def stop(self) -> None:
        self._handler.close()


class _SharedFile(RotatingFileHandler):
    """A file that several processes write, such as `dirigent serve` and its workers: one at a time renames it.

    Whoever still has the old one open goes on with the new one at the next line.
    """

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - the library's name
        """Say whether the file is full, once it is the one that has the name now."""
        self._follow()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 - the library's name
        """Rename the files, unless another process has just done so."""
        from filelock import FileLock

        with FileLock(f"{self.baseFilename}.lock"):
            self._follow()
            if Path(self.baseFilename).stat().st_size + LINE_BYTES >= self.maxBytes:
                super().doRollover()

    def _follow(self) -> None:
        if self.stream is None:
            return
        try:
            same = os.stat(self.baseFilename).st_ino == os.fstat(self.stream.fileno()).st_ino  # noqa: PTH116 - each line
        except FileNotFoundError:
            same = False
        if not same:
            self.stream.close()
            self.stream = self._open()


class _Stream:
    """The same to a stream."""

    def __init__(self, stream: TextIO, render: Any) -> None:
        self._stream = stream
        self._render = render

    def write(self, message: Message) -> None:
        self._stream.write(redact(self._render(message.record)) + "\n")
        self._stream.flush()


class _FromLogging(logging.Handler):
    """Hands what libraries log to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        known = (
            record.levelname
            if record.levelname in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
            else record.levelno
        )
        logger.patch(lambda made: _say_where(made, record)).opt(exception=record.exc_info).log(
            known, "{}", record.getMessage()
        )


def _say_where(made: Record, record: logging.LogRecord) -> None:
    made["name"] = record.name
    made["line"] = record.lineno


def as_line(record: Record) -> str:
    """Return `time level corr name:line message`, further lines indented so that no text can pose as a log line."""
    text = "\n    ".join([*record["message"].splitlines(), *_trace(record).splitlines()])
    where = f"{record['name']}:{record['line']}"
    extra = "".join(f" {key}={value!r}" for key, value in record["extra"].items() if key != "corr")
    at = record["time"].isoformat(timespec="milliseconds")
    return f"{at} {record['level'].name:<7} {record['extra'].get('corr', '-')} {where} {text}{extra}"


def as_json_line(record: Record) -> str:
    """Return one JSON object: at, level, corr, where, message, further fields, and the traceback if there is one."""
    fields: dict[str, Any] = {
        "at": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "where": f"{record['name']}:{record['line']}",
        **record["extra"],
        "message": record["message"],
    }
    if trace := _trace(record):
        fields["traceback"] = trace
    # Redacted before it is encoded: a secret with a quotation mark in it is spelt differently afterwards.
    return json.dumps({key: _redacted(value) for key, value in fields.items()}, ensure_ascii=False, default=str)


def _redacted(value: Any) -> Any:
    return redact(value) if isinstance(value, str) else value


def _trace(record: Record) -> str:
    error = record["exception"]
    return "" if error is None else "".join(traceback.format_exception(error.type, error.value, error.traceback))


# --- reading it again -----------------------------------------------------------------------------------------------
MOST_LINES = 2_000
BEGINS = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d) [A-Z]+ +(\S+) ")


def lines_of(folder: Path, corr_id: str, most: int = MOST_LINES) -> list[str]:
    """Return what the logs in a folder say of one request, oldest first, its newest `most` lines at the most.

    Lines are readable ones or JSON, as they were written; a traceback belongs to the line that it follows. Several
    processes may have logged, each to a file of its own. Secrets are hidden once more. A file that goes away while it
    is read is left out.
    """
    found: list[str] = []
    for file in sorted(folder.glob("*.log*"), key=_age):  # the newest first
        found = _told_in(file, corr_id, most - len(found)) + found
        if len(found) >= most:
            break
    return [redact(line) for line in sorted(found, key=_moment)]


def _age(file: Path) -> float:
    with contextlib.suppress(OSError):
        return -file.stat().st_mtime
    return 0.0


def _told_in(file: Path, corr_id: str, most: int) -> list[str]:
    kept: deque[str] = deque(maxlen=max(most, 0))
    ours = False
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("    "):
                if ours and kept:
                    kept[-1] += f"\n{line.rstrip()}"
                continue
            ours = corr_id in line and _belongs_to(line) == corr_id
            if ours:
                kept.append(line.rstrip())
    return list(kept)


def _belongs_to(line: str) -> str:
    """Return the correlation id of a line of the log, "" for what is none."""
    if line.startswith("{"):
        try:
            return str(json.loads(line).get("corr", ""))
        except (ValueError, AttributeError):
            return ""
    found = BEGINS.match(line)
    return found[1] if found else ""


def _moment(line: str) -> str:
    """Return when a line was written, as text that sorts; lines of one process keep their order."""
    return line.partition('"at": "')[2][:23] if line.startswith("{") else line[:23]
