"""The shell and python tools, as plain functions."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from plugins.api import ToolFailure
from plugins.python import python
from plugins.shell import shell


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_command_returns_its_output_and_runs_in_the_workspace(workspace: Path):
    result = shell("pwd; echo careful >&2; echo made > a.txt")
    assert result.value == {"code": 0, "output": f"{workspace}\n", "error": "careful\n"}
    assert result.text == f"{workspace}\ncareful"
    assert (workspace / "a.txt").read_text() == "made\n"


def test_a_command_without_output_says_so():
    assert shell("true").text == "Done; it printed nothing."


def test_an_exit_code_other_than_0_is_a_failure_that_shows_the_last_lines():
    with pytest.raises(ToolFailure) as caught:
        shell("seq 100 >&2; exit 3")
    assert "`seq 100 >&2; exit 3` ended with exit code 3. Its last lines:\n89" in caught.value.message
    with pytest.raises(ToolFailure) as caught:
        shell("no_such_program_here")
    assert "no such program inside" in caught.value.hint
    with pytest.raises(ToolFailure, match="was ended by SIGKILL"):
        shell("kill -9 $$")


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(workspace: Path):
    begin = time.monotonic()
    with pytest.raises(ToolFailure, match=r"was stopped after 3 seconds. Its last lines:\nstarted"):
        shell("sleep 60 & echo $! > pid; echo started; sleep 60", timeout=3)
    assert time.monotonic() - begin < 50
    pid = int((workspace / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_a_process_left_in_the_background_does_not_hold_the_result():
    begin = time.monotonic()
    assert shell("sleep 60 & echo done").value["output"] == "done\n"
    assert time.monotonic() - begin < 50


def test_long_output_keeps_its_beginning_and_its_end():
    output = shell("echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo last").value["output"]
    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert "bytes left out" in output
    assert len(output) < 50_000


def test_an_empty_command_is_refused():
    with pytest.raises(ToolFailure, match="empty"):
        shell("  ")


def test_python_returns_what_is_printed_and_the_last_value():
    result = python("print('hello')\nx = 20\nx + 1")
    assert (result.value, result.text) == (21, "hello\n21")
    assert python("print('only')").value == "only\n"
    assert python("x = 1").text == ""
    assert python("").text == ""


def test_python_starts_in_a_fresh_namespace_each_time():
    python("leftover = 1")
    with pytest.raises(ToolFailure, match="name 'leftover' is not defined"):
        python("leftover")


def test_functions_and_comprehensions_see_the_names_of_the_program():
    assert python("n = 3\ndef f():\n    return [n * i for i in range(n)]\nf()").value == [0, 3, 6]


def test_an_error_shows_the_programs_own_lines_and_what_was_printed_before():
    with pytest.raises(ToolFailure) as caught:
        python("def f(a):\n    return 1 / a\n\nprint('so far')\nf(0)\n")
    message = caught.value.message
    assert 'File "<program>", line 5' in message
    assert "return 1 / a" in message
    assert "ZeroDivisionError: division by zero" in message
    assert message.endswith("Before that it printed:\nso far")
    assert "plugins/python.py" not in message


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = (1,\n", "is not Python: '(' was never closed (line 1)"),
        ("a b", "line 1)\na b\n  ^"),
        ("import sys; sys.exit(2)", "The program left with 2"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("x = 1\0", "null bytes"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_what_goes_wrong_in_a_program_is_said(code: str, reason: str):
    with pytest.raises(ToolFailure) as caught:
        python(code)
    assert reason in caught.value.message


def test_leaving_with_success_is_no_failure():
    assert python("print('bye')\nraise SystemExit").text == "bye"


def test_tables_and_numbers_become_plain_values():
    assert python("import pandas as pd\npd.DataFrame({'a': [1, 2]})").value == [{"a": 1}, {"a": 2}]
    number = python("import numpy as np\nnp.float64(1.5)")
    assert (number.value, number.text) == (1.5, "1.5")
    assert python("import numpy as np\nnp.arange(3)").value == [0, 1, 2]
    assert python("float('nan')").value == "nan"
    assert python("object").value == "<class 'object'>"


def test_the_files_must_exist_and_are_given_to_the_program():
    Path("a.txt").write_text("x")
    assert python("from pathlib import Path\nPath(files[0]).read_text()", files=["a.txt"]).value == "x"
    with pytest.raises(ToolFailure, match=r"no file 'b\.txt'"):
        python("1", files=["b.txt"])


def test_endless_printing_is_bounded():
    text = python("for i in range(200_000): print(i)").text
    assert text.startswith("0\n1\n")
    assert text.endswith("199999")
    assert "characters left out" in text
    assert len(text) < 50_000
