"""Python programs, run inside the sandbox in the session's workspace, with pandas, numpy, duckdb and matplotlib there.

Each call starts in a fresh namespace: what one leaves for the next are files.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import sys
import traceback
from typing import Annotated, Any

from plugins.api import File, Output, ToolFailure, tool

NAME = "<program>"
MAX_TEXT = 40_000
MAX_VALUE = 200_000
PLAIN = (str, int, float, bool, type(None))


@tool(
    data=True,
    reads_all=True,
    timeout=300,
    produces=("text", "number"),
    examples=(
        "run this python code {code}",
        "run python {code}",
        "python {code}",
        "calculate {code}",
        "compute {code}",
    ),
)
def python(code: str, files: list[Annotated[str, File()]] | None = None) -> Output:
    """Run Python with pandas, numpy, duckdb and matplotlib; return what it prints and its last expression's value.

    `files` names workspace files that it is about: they must exist, and the program has them as the list `files`.
    """
    _must_exist(files or [])
    tree = _parsed(code)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    tree.body = tree.body[:-1] if last else tree.body
    namespace: dict[str, Any] = {"__name__": "__main__", "files": list(files or [])}
    # A traceback shows the program's own lines.
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    printed = _Bounded()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        value = _run(tree, last, namespace, printed)
    text = printed.text()
    shown = "" if value is None else _shown(value)
    return Output(_plain(value) if value is not None else text, "\n".join(p for p in (text.rstrip(), shown) if p))


def _must_exist(files: list[str]) -> None:
    from pathlib import Path

    for name in files:
        if not Path(name).is_file():
            raise ToolFailure(f"There is no file {name!r} in the workspace.", hint="list_files shows what is there.")


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code, NAME)
    except SyntaxError as problem:
        line = (problem.text or "").rstrip("\n")
        mark = " " * max((problem.offset or 1) - 1, 0) + "^"
        raise ToolFailure(
            f"The program is not Python: {problem.msg} (line {problem.lineno})\n{line}\n{mark}"
        ) from problem
    except (ValueError, RecursionError, MemoryError) as problem:
        raise ToolFailure(f"The program can't be read: {problem}") from problem


def _run(tree: ast.Module, last: ast.Expr | None, namespace: dict[str, Any], printed: _Bounded) -> Any:
    try:
        exec(compile(tree, NAME, "exec"), namespace)  # noqa: S102  # running it is what this tool is for
        if last is not None:
            return eval(compile(ast.Expression(last.value), NAME, "eval"), namespace)  # noqa: S307  # as above
    except SystemExit as leaving:
        if leaving.code not in {None, 0}:
            raise ToolFailure(f"The program left with {leaving.code!r}.{_after(printed)}") from leaving
    except BaseException as problem:
        raise ToolFailure(f"{_trace(problem)}{_after(printed)}") from problem
    return None


def _trace(problem: BaseException) -> str:
    """Return the traceback from the program's own first line on."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(problem), problem, trace, limit=-12)).strip()


def _after(printed: _Bounded) -> str:
    text = printed.text().strip()
    return f"\nBefore that it printed:\n{text[-2_000:]}" if text else ""


def _shown(value: Any) -> str:
    try:
        if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            # A number of numpy's is shown as the number that it is.
            value = value.item()
        text = value if isinstance(value, str) else repr(value)
    except Exception as problem:
        return f"(its value can't be shown: {type(problem).__name__}: {problem})"
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT:,} characters left out …"


def _plain(value: Any) -> Any:
    """Return the value as JSON's own types where it has an obvious form, else as the text that was shown."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        value = json.loads(value.to_json(orient="records", date_format="iso"))
    elif pandas is not None and isinstance(value, pandas.Series):
        value = json.loads(value.to_json(date_format="iso"))
    elif hasattr(value, "tolist") and hasattr(value, "dtype"):
        value = value.tolist()
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _shown(value)
    return json.loads(text) if len(text) <= MAX_VALUE else _shown(value)


class _Bounded(io.TextIOBase):
    """Keeps the beginning and the end of what is written to it."""

    def __init__(self) -> None:
        self._head = ""
        self._tail = ""
        self._count = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._count += len(text)
        room = MAX_TEXT // 2 - len(self._head)
        self._head += text[:room] if room > 0 else ""
        rest = text[max(room, 0) :]
        if rest:
            self._tail = (self._tail + rest)[-MAX_TEXT // 2 :]
        return len(text)

    def text(self) -> str:
        """Return what was kept, with a line that says how much is missing."""
        missing = self._count - len(self._head) - len(self._tail)
        between = f"\n… {missing:,} characters left out …\n" if missing > 0 else ""
        return self._head + between + self._tail
