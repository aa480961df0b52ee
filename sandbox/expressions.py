"""Plain expressions of numbers, as programs of models often are, without a box: in the restricted interpreter.

Only what it works out exactly as Python does is given to it, and whatever it stumbles over (a division by zero, a
number too long) the box works out, with Python's own words. So the answer is the same, and a session that only counts
needs no process of its own.
"""

from __future__ import annotations

import ast
import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from sandbox.api import JobResult, JobStatus, JobUsage
from sandbox.pure import Interpreters, program_of

if TYPE_CHECKING:
    from sandbox.api import Job

MOST_CHARACTERS, MOST_SHOWN = 2_000, 10_000
LARGEST = 10**300
SECONDS, MEMORY, PROGRAMS = 0.5, 64 << 20, 1_000
RUNG = "E"  # its walls are that rung's, wherever we are
IDLE_S = 60.0
# `round` is not among them: the interpreter rounds 2.675 up.
FUNCTIONS = frozenset({"sum", "min", "max", "abs", "len", "sorted", "range"})
_NODES = (
    ast.UnaryOp,
    ast.USub,
    ast.UAdd,
    ast.Not,
    ast.BinOp,
    ast.operator,
    ast.Compare,
    ast.cmpop,
    ast.BoolOp,
    ast.boolop,
    ast.IfExp,
    ast.List,
    ast.ListComp,
    ast.GeneratorExp,
    ast.expr_context,
)


def expression_of(job: Job) -> str | None:
    """Return the expression that a job of the tool `python` consists of; None for any other job."""
    if job.tool is None or job.tool.arguments.get("files"):
        return None
    code = program_of(job)
    return code if code is not None and is_plain(code) else None


def is_plain(code: str) -> bool:
    """Say whether a program is one expression of numbers, lists of them, and the functions that are safe here."""
    if len(code) > MOST_CHARACTERS:
        return False
    try:
        tree = ast.parse(code.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return not names & FUNCTIONS and all(_is_plain(node, names) for node in ast.walk(tree.body))


def _is_plain(node: ast.AST, names: set[str]) -> bool:
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return True
        case ast.Name(id=name):
            return name in names or name in FUNCTIONS
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return name in FUNCTIONS
        case ast.comprehension(is_async=later):
            return not later
    return isinstance(node, _NODES)


class Expressions:
    """Works out expressions, for all sessions; nothing of one is left for the next. `close` ends its process."""

    def __init__(self) -> None:
        self._interpreters = Interpreters(1, PROGRAMS)
        self._busy = 0
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def result(self, job: Job) -> JobResult | None:
        """Return what a job comes to; None when a box has to work it out."""
        code = expression_of(job)
        if code is None:
            return None
        began = time.monotonic()
        try:
            value = await self._value(code.strip())
        except Exception:  # whatever it is, Python says it better
            return None
        if not _is_told_alike(value):
            return None
        text = repr(value)
        if len(text) > MOST_SHOWN:
            return None
        usage = JobUsage(wall_s=time.monotonic() - began)
        return JobResult(JobStatus.EXIT, value=value, text=text, usage=usage, rung=RUNG)

    async def _value(self, code: str) -> Any:
        self._busy += 1
        try:
            pool = await self._interpreters.ready()
            bounds: Any = {"max_memory": MEMORY, "max_feed_duration_secs": SECONDS}
            async with asyncio.timeout(SECONDS * 4), pool.checkout(script_name="<program>", limits=bounds) as session:
                return await session.feed_run(code)
        finally:
            self._busy -= 1
            self._rest()

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end)

    def _end(self) -> None:
        if not self._busy:
            task = asyncio.get_running_loop().create_task(self.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End the process; the next expression starts another."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        await self._interpreters.close()


def _is_told_alike(value: Any) -> bool:
    """Say whether the tool would return and show a value just so."""
    if isinstance(value, list):
        return len(value) <= MOST_SHOWN and all(_is_told_alike(part) for part in value)
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is bool or (type(value) is int and abs(value) < LARGEST)
