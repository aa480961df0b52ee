"""Plain sums without a box: the same answers as Python's, and nothing else goes there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import expressions as module
from sandbox.api import Job, Policy, ToolCall
from sandbox.boxes import Boxes
from sandbox.expressions import Expressions, is_plain
from sandbox.held import descendants

NUMBERS = st.one_of(
    st.integers(0, 10**25).map(str),
    st.floats(0, 1e12, allow_nan=False).map(repr),
    st.sampled_from(["True", "0.1", "1e-7", "2"]),
)
SUMS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "==", "and"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, st.sampled_from(["2", "3", "0.5", "-1"])).map(lambda t: f"({t[0]} ** {t[1]})"),
        st.tuples(st.sampled_from(["sum", "min", "max", "sorted"]), inner, inner).map(
            lambda t: f"{t[0]}([{t[1]}, {t[2]}])" if t[0] != "sorted" else f"max(sorted([{t[1]}, {t[2]}]))"
        ),
        inner.map(lambda one: f"abs(-{one})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        inner.map(lambda one: f"sum([i * {one} for i in range(5) if i % 2])"),
    ),
    max_leaves=6,
)


def asking(code: str, **more: object) -> Job:
    return Job("tool", tool=ToolCall("plugins.python", "python", {"code": code, **more}), data=True)


@pytest.fixture
async def expressions() -> AsyncIterator[Expressions]:
    made = Expressions()
    yield made
    await made.close()


async def test_the_answers_are_pythons_own_or_left_to_it():
    made = Expressions()
    told = []

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(SUMS)
    def collect(code: str) -> None:
        told.append(code)

    collect()
    answered = 0
    for code in told:
        assert is_plain(code)
        found = await made.result(asking(code))
        if found is None:
            continue
        answered += 1
        wanted = eval(code)
        assert (found.ok, found.value, found.text) == (True, wanted, repr(wanted)), code
        assert type(found.value) is type(wanted)
    await made.close()
    assert answered > len(told) / 2


@pytest.mark.parametrize(
    "code",
    [
        *("x", "open('f')", "__import__('os')", "(1).__class__", "'a' * 3", "print(1)", "1\n2", "import os", "a = 1"),
        *("round(2.675, 2)", "[1][0]", "{1: 2}", "(1, 2)", "lambda: 1", "f'{1}'", "1j", "sum(*[[1]])", "max(key=1)"),
        *("[sum for sum in [1]]", "(i := 2)", "None", "...", "1 +", "(" * 5000, "9" * 3000, "await x", "range.x"),
    ],
)
def test_anything_else_is_for_the_box(code: str):
    assert not is_plain(code)


@pytest.mark.parametrize(
    "code", ["1 / 0", "9 ** 9 ** 9", "1e308 * 10", "max([])", "[0] * 10 ** 9", "range(3)", "2 ** 5000"]
)
async def test_what_it_stumbles_over_is_for_the_box(expressions: Expressions, code: str):
    assert is_plain(code)
    assert await expressions.result(asking(code)) is None
    again = await expressions.result(asking("6 * 7"))
    assert again is not None
    assert again.value == 42


async def test_a_sum_starts_no_box_and_leaves_no_process(tmp_path: Path):
    before = set(descendants(os.getpid()))
    boxes = Boxes(Policy())
    found = await boxes.run("s", tmp_path, asking("sum([i * i for i in range(1, 11)])"))
    assert (found.value, found.text, found.changes) == (385, "385", ())
    assert boxes.opened() == 0
    await boxes.close()
    assert set(descendants(os.getpid())) <= before


async def test_the_interpreter_ends_when_it_rests_and_the_next_sum_starts_another(
    expressions: Expressions, monkeypatch: pytest.MonkeyPatch
):
    before = descendants(os.getpid())
    for _ in range(2):
        monkeypatch.setattr(module, "IDLE_S", 60.0)
        assert await expressions.result(asking("6 * 7")) is not None
        assert descendants(os.getpid()) - before
        monkeypatch.setattr(module, "IDLE_S", 0.0)
        assert await expressions.result(asking("6 * 7")) is not None
        async with asyncio.timeout(60):
            while descendants(os.getpid()) - before:
                await asyncio.sleep(0.005)


async def test_a_program_with_files_has_its_box(expressions: Expressions):
    assert await expressions.result(asking("1 + 1", files=["a.csv"])) is None
    assert await expressions.result(Job("python", "1 + 1")) is None
