"""Tool calls inside: found, given typed arguments and a context, their results made plain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from sandbox.api import Job, JobResult, JobStatus, Limits, Policy, Progress, Rung, ToolCall
from sandbox.boxes import Box
from sandbox.canaries import probe

PLUGIN = '''
"""Things a tool can do."""
import asyncio, dataclasses, datetime as dt, decimal, enum, pathlib
from plugins.api import Context, Output, ToolFailure, tool

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Point:
    x: int
    when: dt.date

@tool
def typed(day: dt.date, colour: Colour, path: pathlib.Path, times: int = 2) -> list[str]:
    """Show what arrived."""
    return [type(day).__name__, day.isoformat(), colour.name, type(path).__name__, str(times)]

@tool
def shapes() -> dict:
    """Return odd values."""
    return {"point": Point(1, dt.date(2026, 11, 20)), "money": decimal.Decimal("1.10"), "path": pathlib.Path("a/b"),
            "nan": float("nan"), 3: {1}, "colour": Colour.RED, "bytes": b"hi"}

@tool
def report(ctx: Context, fail: bool = False) -> Output:
    """Write and hand over a file."""
    ctx.progress("reading", 1, 2)
    ctx.progress("writing")
    (ctx.workdir / "out").mkdir()
    (ctx.workdir / "out" / "report.txt").write_text("done")
    ctx.artifact("out/report.txt", "The report")
    if fail:
        raise ToolFailure("The ledger does not balance.", hint="Check row 7.")
    return Output(value={"rows": 2}, text="Two rows.", files=("out/report.txt",), partial=True, cost=0.02)

@tool
async def later(ctx: Context, n: int) -> int:
    """Double, later."""
    await asyncio.sleep(0)
    return await ctx.inside(double, n=n)

def double(n: int) -> int:
    return 2 * n

@tool(secrets=["KEY"])
def keyed(ctx: Context, name: str = "KEY") -> int:
    """Use a secret."""
    return len(ctx.secret(name))

@tool
def remembers(ctx: Context) -> str:
    """Ask for what is not there."""
    return ctx.memory

@tool
def breaks() -> None:
    """Fail on its own."""
    {}["missing"]

@tool
def endless() -> str:
    """Return too much."""
    return "x" * 5_000_000

@tool
def odd() -> object:
    """Return what has no JSON form."""
    return object()

@tool
def leaves() -> None:
    """End the process."""
    import os
    os._exit(3)

@tool
def outside(ctx: Context) -> str:
    """Hand over what is not ours."""
    return ctx.artifact("../../etc/passwd")
'''


class Bench:
    def __init__(self, box: Box, source: Path) -> None:
        self.box = box
        self.source = source
        self.seen: list[Progress] = []

    async def call(self, function: str, *, context: bool = False, **options: Any) -> JobResult:
        arguments = options.pop("arguments", {})
        call = ToolCall(str(self.source), function, arguments, context)
        return await self.box.run(Job("tool", tool=call, **options), self.seen.append)


@pytest.fixture(params=["best", "C"])
async def bench(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "things.py").write_text(dedent(PLUGIN))
    rung = await probe() if request.param == "best" else Rung("C", "Landlock")
    async with Box("tools", folder, Policy(plugin_folders=(plugins,)), rung) as box:
        yield Bench(box, plugins / "things.py")


async def test_arguments_arrive_with_their_types(bench: Bench):
    result = await bench.call("typed", arguments={"day": "2026-11-20", "colour": "red", "path": "a.csv"})
    assert result.value[:3] == ["date", "2026-11-20", "RED"]
    assert result.value[3].endswith("Path")
    assert result.value[4] == "2"
    assert result.ok


async def test_wrong_arguments_name_the_parameter(bench: Bench):
    result = await bench.call("typed", arguments={"day": "soon", "colour": "red", "path": "a"})
    assert result.failure is not None
    assert result.failure["type"] == "ToolFailure"
    assert "day" in result.failure["message"]
    assert not result.ok


async def test_values_become_plain_json(bench: Bench):
    value: Mapping[str, Any] = (await bench.call("shapes")).value
    assert value == {
        "point": {"x": 1, "when": "2026-11-20"},
        "money": "1.10",
        "path": "a/b",
        "nan": None,
        "3": [1],
        "colour": "red",
        "bytes": "aGk=",
    }


async def test_a_tool_reports_progress_and_hands_over_files(bench: Bench):
    result = await bench.call("report", context=True)
    assert (result.value, result.text, result.partial, result.cost) == ({"rows": 2}, "Two rows.", True, 0.02)
    assert result.files == (("out/report.txt", "The report"),)
    assert bench.seen == [Progress("reading", 1, 2), Progress("writing")]
    assert [c.path for c in result.changes] == ["out/report.txt"]


async def test_a_tool_failure_is_a_sentence_without_a_traceback(bench: Bench):
    result = await bench.call("report", context=True, arguments={"fail": True})
    assert result.failure == {
        "type": "ToolFailure",
        "message": "The ledger does not balance.",
        "hint": "Check row 7.",
        "traceback": "",
    }


async def test_any_other_error_shows_the_tools_lines(bench: Bench):
    result = await bench.call("breaks")
    assert result.failure is not None
    assert result.failure["type"] == "KeyError"
    assert "things.py" in result.failure["traceback"]
    assert "sandbox/tools.py" not in result.failure["traceback"]


async def test_an_async_tool_is_awaited_and_may_call_inside(bench: Bench):
    assert (await bench.call("later", context=True, arguments={"n": 21})).value == 42


async def test_a_declared_secret_reaches_the_tool_alone(bench: Bench):
    result = await bench.call("keyed", context=True, secrets={"KEY": "hunter2"})
    assert result.value == 7
    missing = await bench.call("keyed", context=True)
    assert missing.failure is not None
    assert "KEY" in missing.failure["message"]
    look = "import os; print('hunter2' in str(dict(os.environ)) or 'hunter2' in open('/proc/self/environ').read())"
    assert (await bench.box.run(Job("python", look))).stdout.text == "False\n"


async def test_memory_is_absent_inside_and_says_so(bench: Bench):
    result = await bench.call("remembers", context=True)
    assert result.failure is not None
    assert "host=True" in result.failure["message"]


async def test_too_large_a_value_is_refused_with_the_way_on(bench: Bench):
    result = await bench.call("endless")
    assert result.failure is not None
    assert "too large" in result.failure["message"]
    assert "ctx.artifact" in result.failure["hint"]


async def test_a_value_without_a_json_form_is_named(bench: Bench):
    result = await bench.call("odd")
    assert result.failure is not None
    assert "object" in result.failure["message"]


async def test_a_tool_that_ends_its_process_is_a_failure(bench: Bench):
    result = await bench.call("leaves")
    assert result.code == 3
    assert result.failure is not None
    assert result.failure["type"] == "NoResult"


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "[1, 1e999]", "[" * 990 + "]" * 990])
async def test_what_no_other_reads_is_no_result(bench: Bench, tmp_path: Path, value: str):
    """A tool's own results never hold such; its process may say anything."""
    body = f'{{"result": {{"value": {value}, "text": "", "partial": false, "files": []}}}}'
    lie = f"""
        import os, stat, struct
        def lie():
            body = {body.encode()!r}
            for events in range(3, 20):
                try:
                    if stat.S_ISFIFO(os.fstat(events).st_mode):
                        os.write(events, struct.pack(">I", len(body)) + body)
                except OSError:
                    pass
            os._exit(0)
        """
    (tmp_path / "plugins" / "lies.py").write_text(dedent(lie))
    result = await bench.box.run(Job("tool", tool=ToolCall(str(tmp_path / "plugins" / "lies.py"), "lie")))
    assert result.failure is not None
    assert (result.value, result.failure["type"]) == (None, "NoResult")


async def test_a_file_outside_cannot_be_handed_over(bench: Bench):
    result = await bench.call("outside", context=True)
    assert result.failure is not None
    assert "outside the workspace" in result.failure["message"]


async def test_an_unknown_function_is_named(bench: Bench):
    result = await bench.call("nothing")
    assert result.failure is not None
    assert "nothing" in result.failure["message"]


async def test_a_tool_that_takes_too_long_is_ended(bench: Bench, tmp_path: Path):
    (tmp_path / "plugins" / "slow.py").write_text('"""Slow."""\nimport time\ndef f():\n    time.sleep(60)\n')
    call = ToolCall(str(tmp_path / "plugins" / "slow.py"), "f")
    result = await bench.box.run(Job("tool", tool=call, limits=Limits(wall_s=0.5)))
    assert result.status is JobStatus.TIMEOUT


async def test_a_package_with_relative_imports_is_a_plugin(bench: Bench, tmp_path: Path):
    package = tmp_path / "plugins" / "pair"
    package.mkdir()
    (package / "__init__.py").write_text('"""Pair."""\nfrom .inner import answer\n')
    (package / "inner.py").write_text("def answer(): return 42\n")
    result = await bench.box.run(Job("tool", tool=ToolCall(str(package), "answer")))
    assert result.value == 42


async def test_a_file_in_the_workspace_cannot_stand_in_for_a_library(bench: Bench, folder: Path):
    (folder / "decimal.py").write_text("raise SystemExit('hijacked')")
    assert (await bench.call("shapes")).ok


async def test_the_stream_ends_with_the_result(bench: Bench):
    call = ToolCall(str(bench.source), "report", {}, wants_context=True)
    items = [item async for item in bench.box.stream(Job("tool", tool=call))]
    assert [type(item).__name__ for item in items] == ["Progress", "Progress", "JobResult"]


async def test_a_tables_rows_become_records(folder: Path, tmp_path: Path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    source = plugins / "tables.py"
    source.write_text(
        dedent('''
        """Tables."""
        import numpy, pandas
        def table():
            return pandas.DataFrame({"n": [1, 2], "day": pandas.to_datetime(["2026-01-01", None])})
        def numbers():
            return {"a": numpy.int64(1), "b": numpy.array([1.5, float("inf")]), "c": pandas.Series({"x": 1})}
        def chart(ctx):
            import matplotlib.pyplot as plt
            plt.plot([1, 2]); plt.savefig("chart.png")
            return ctx.artifact("chart.png")
        def query():
            import duckdb
            return duckdb.sql("select sum(range) from range(1000)").fetchall()[0][0]
        '''),
    )

    async with Box("tables", folder, Policy(plugin_folders=(plugins,)), await probe()) as box:

        async def call(function: str, *, context: bool = False) -> Any:
            job = Job("tool", tool=ToolCall(str(source), function, {}, context), data=True)
            result = await box.run(job)
            assert result.failure is None
            return result.value

        table, numbers, chart, query = await asyncio.gather(
            call("table"), call("numbers"), call("chart", context=True), call("query")
        )
    assert table == [{"n": 1, "day": "2026-01-01T00:00:00"}, {"n": 2, "day": None}]
    assert numbers == {"a": 1, "b": [1.5, None], "c": {"x": 1}}
    assert chart == "chart.png"
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert query == 499500
