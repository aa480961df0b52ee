"""The host touches what is in a workspace through `sandbox.workspace` only: read from the sources, and seen at work."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = {"workspace", "workdir"}
# Who may be given the folder's path. None of them opens anything below it but through the door.
TAKERS = {
    "Workspace": "the door itself",
    "run": "Boxes.run, which binds the folder into a box",
    "warm": "Boxes.warm, as well",
    "talk": "Boxes.talk, as well",
    "forget": "Boxes.forget, which ends the box of that folder",
    "given": "Ready.given, which lists the files through the door",
    "HostContext": "a host tool's context, which writes through the door",
    "Terminal": "joins it to the names of files that it prints",
}


def host_sources() -> Iterator[Path]:
    """The agent's code but its fakes for tests, which stand in for the inside."""
    for path in sorted((REPOSITORY / "agent").rglob("*.py")):
        if "testing" not in path.parts:
            yield path


def opens_itself(tree: ast.AST) -> Iterator[int]:
    """Yield the lines where a workspace's path goes anywhere but to those who may have it."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr in NAMES and isinstance(node.ctx, ast.Load)):
            continue
        above = parents[node]
        if isinstance(above, ast.keyword):
            above = parents[above]
        if isinstance(above, ast.Call) and node is not above.func and _called(above) in TAKERS:
            continue
        if _in_a_thread(above, node) or _makes_the_folder(above) or _only_shown(parents, above):
            continue
        yield node.lineno


def _called(call: ast.Call) -> str:
    return (
        call.func.id
        if isinstance(call.func, ast.Name)
        else call.func.attr
        if isinstance(call.func, ast.Attribute)
        else ""
    )


def _in_a_thread(above: ast.AST, node: ast.AST) -> bool:
    """`asyncio.to_thread(ready.given, …, session.workspace)` is a call of `given`."""
    if not (isinstance(above, ast.Call) and _called(above) == "to_thread" and node is not above.args[0]):
        return False
    meant = above.args[0]
    return (meant.attr if isinstance(meant, ast.Attribute) else getattr(meant, "id", "")) in TAKERS


def _makes_the_folder(above: ast.AST) -> bool:
    return isinstance(above, ast.Attribute) and above.attr == "mkdir"


def _only_shown(parents: dict[ast.AST, ast.AST], above: ast.AST) -> bool:
    """`str(workspace / name)`, whose words are printed."""
    return isinstance(above, ast.BinOp) and isinstance(parents[above], ast.Call) and _called(parents[above]) == "str"


def test_no_code_of_the_agent_opens_a_workspaces_path_itself():
    found, looked_at = [], 0
    for path in host_sources():
        text = path.read_text(encoding="utf-8")
        if any(f".{name}" in text for name in NAMES):
            looked_at += 1
            found += [f"{path.relative_to(REPOSITORY)}:{line}" for line in opens_itself(ast.parse(text))]
    assert found == []
    assert looked_at > 10


@pytest.mark.parametrize(
    "code",
    [
        "(session.workspace / 'a').read_text()",
        "open(session.workspace / 'a')",
        "place = session.workspace",
        "shutil.copy(ctx.workdir / name, there)",
        "for path in session.workspace.iterdir(): pass",
        "f'{session.workspace}/a'",
    ],
)
def test_the_check_sees_what_it_is_to_see(code: str):
    assert list(opens_itself(ast.parse(code))) == [1]


def test_host_tools_that_come_with_us_do_not_use_the_folder():
    """A host tool's way into the workspace is `ctx.save` and `ctx.inside`."""
    found = []
    for path in sorted((REPOSITORY / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_on_host(node):
                found += [
                    f"{path.name}:{n.lineno}"
                    for n in ast.walk(node)
                    if isinstance(n, ast.Attribute) and n.attr == "workdir"
                ]
    assert found == []


def _is_on_host(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = [mark for mark in function.decorator_list if isinstance(mark, ast.Call)]
    return any(
        word.arg == "host" and getattr(word.value, "value", False) is True for call in calls for word in call.keywords
    )


# One whole run with files from the person, built-in tools, a delivery and a reply; what Python opens on the host is
# noted. `openat2` is no event of Python's; what the door opens relative to its descriptor has no path of the workspace.
PROGRAM = """
import asyncio, json, os, sys
from pathlib import Path
seen, home = [], Path(sys.argv[1])
inside = str(home / "sessions" / "test_1" / "work") + os.sep
def note(event, arguments):
    if event.split(".")[0] in {"open", "os", "shutil", "pathlib", "glob"} or event == "sqlite3.connect":
        for argument in arguments:
            if isinstance(argument, (str, bytes)) and os.fsdecode(argument).startswith(inside):
                seen.append([event, os.fsdecode(argument)])
sys.addaudithook(note)
from agent.testing import Bot
from agent.testing.scripted import step

async def main():
    given = home / "given.csv"
    given.write_text("a,b\\n1,2\\n3,4\\n")
    async with Bot(home, builtin=True) as bot:
        bot.llm.will_plan(
            step("s1", "write_file", path="notes.txt", text="three plain words"),
            step("s2", "python", code="open('made.txt', 'w').write('x')"),
            step("s3", "read_file", after=("s1",), path="notes.txt"),
        )
        bot.llm.will_answer("Done.")
        answer = await bot.hears("Make notes.", files=[given])
        said = {record.step.id: [record.status.value, record.error] for record in await bot.steps()}
        print(json.dumps({"seen": seen, "steps": said, "files": answer.files}))

asyncio.run(main())
"""


def test_a_whole_run_opens_nothing_of_the_workspace_by_its_path(tmp_path: Path):
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "home")]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=200)
    assert answer.returncode == 0, answer.stderr[-2000:]
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["seen"] == []
    assert {status for status, _ in told["steps"].values()} == {"COMPLETED"}, told
    assert "made.txt" in told["files"]
