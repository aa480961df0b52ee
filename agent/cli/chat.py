"""`dirigent chat`: a conversation in this terminal, or one request from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import re
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import DirigentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterator

    from agent.app import App
    from agent.channels.terminal import Ending, Terminal
    from agent.channels.terminal.face import Face
    from agent.channels.terminal.keyboard import Keyboard
    from agent.config import AppConfig
    from agent.engine.protocol import Engine

MAIN = "main"
TABLE = re.compile(r"\.(?:csv|tsv|xlsx?|xlsm|ods|jsonl?|ndjson|parquet)\b|\b(?:chart|plot|diagramm?)\b", re.IGNORECASE)
EXAMPLES = """\
examples:
  dirigent chat
  dirigent chat "Total per region from sales.csv, as a chart"
  dirigent chat --file report.pdf "What are the three main points?"
  git diff | dirigent chat --file - "Explain this change"
  dirigent chat --json "How many lines has notes.txt?" | jq -r 'select(.type == "answer").text'

Files that the request names come along by themselves. Ctrl-C stops what is running, a second one leaves.
With one request and nobody at the terminal a question ends it with exit code 3; the question stays open, and
`dirigent chat` shows it again. Without a request, piped lines are messages and answers, one a line.

while a plan runs:
  /details, /less      unfold and fold tools, arguments, times and costs
  /change WORDS        change the plan ("drop 2"); other words come next
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument(
        "request", nargs="*", metavar="REQUEST", help="carry this out and end; without it, a conversation"
    )
    made.add_argument(
        "--file", action="append", default=[], metavar="F", help="a file to go with it, `-` for standard input"
    )
    made.add_argument("--json", action="store_true", help="one JSON object a line: plan, question, approval, answer, …")
    made.add_argument("--session", default="", metavar="NAME", help="a session of its own: files, memory, history")
    made.add_argument("--model", metavar="NAME", help="use this model, or `offline` for none")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Converse, or carry out the request; return its exit code."""
    if not arguments.request and (arguments.file or sys.stdin.closed):
        raise DirigentError("--file needs a request to go with it.", hint='dirigent chat --file report.pdf "Sum it up"')
    try:
        return asyncio.run(_chat(arguments))
    except asyncio.CancelledError:
        return 130


async def _chat(arguments: argparse.Namespace) -> int:
    from agent.cli.opening import open_config

    config = open_config(arguments, model=arguments.model)
    files = [_file(name, config) for name in arguments.file]
    with claimed(config.folder, arguments.session) as name:
        async with opened(config) as (app, found):
            terminal = await _terminal(app, arguments, name)
            if app.llm is None:
                terminal.face.notice(_without_model(config, found))
            wanted = " ".join([*arguments.request, *map(str, files)])
            async with connected(app, terminal), warming(app, terminal, wanted):
                await terminal.take_up()
                ending = await _converse(app, terminal, arguments, files)
    if ending.status == "waiting" and arguments.request:
        print("A question is open: `dirigent chat` shows it again and takes the answer.", file=sys.stderr)
    return ending.code


async def _converse(app: App, terminal: Terminal, arguments: argparse.Namespace, files: list[Path]) -> Ending:
    if arguments.request:
        return await terminal.once(" ".join(arguments.request), files)
    app.automation.channel = terminal.name  # a conversation does what concerns it; `serve` does all
    await app.automation.start()
    if not arguments.json and sys.stdin.isatty():
        terminal.face.notice("Tell me what you need. /help shows more, Ctrl-D leaves.")
    return await terminal.converse()


def _without_model(config: AppConfig, found: str) -> str:
    """Say plainly that there is no model, why when one was meant to be there, and how to come by one."""
    works = "Commands and simple requests work"
    if config.model == "offline":
        return f"No model is used, as configured. {works}."
    configured = config.openai_base_url or config.openai_api_key
    why = found if configured else "No model is in use: none is configured, and none runs on this machine."
    return f"{why} {works}; `dirigent init` adds a model."


# --- what is opened and closed again ------------------------------------------------------------------------------
@contextlib.asynccontextmanager
async def opened(config: AppConfig, engine: Engine | None = None) -> AsyncIterator[tuple[App, str]]:
    """Yield the started agent, and one sentence about the model that it uses."""
    from agent.app import build_app
    from agent.llm.detect import build_model, detect

    found = await detect(config)
    async with build_app(config, llm=build_model(config, found), engine=engine) as app:
        yield app, found.why


@contextlib.asynccontextmanager
async def connected(app: App, terminal: Terminal) -> AsyncIterator[None]:
    """Deliver to the terminal, and have Ctrl-C stop the run, for as long as this lasts."""
    main = asyncio.current_task()
    assert main is not None
    loop = asyncio.get_running_loop()
    terminal.leave = main.cancel
    await app.add_channel(terminal)
    works = [asyncio.create_task(app.sender.run(), name="outbox")]
    if app.engine.elsewhere:
        works.append(asyncio.create_task(app.orchestrator.keep_watch(), name="watch"))
    loop.add_signal_handler(signal.SIGINT, terminal.interrupt)
    loop.add_signal_handler(signal.SIGTERM, main.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await terminal.close()


@contextlib.asynccontextmanager
async def warming(app: App, terminal: Terminal, request: str) -> AsyncIterator[None]:
    """Start the sandbox while the request is read and planned; with the data libraries when it is about a table."""
    data = TABLE.search(request) is not None

    async def warm() -> None:
        # The step that needs the box says what is wrong with it.
        with contextlib.suppress(Exception):
            await app.boxes.warm(terminal.dest.session_id, terminal.workspace, data=data)

    task = asyncio.create_task(warm(), name="warming")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def claimed(folder: Path, wanted: str) -> Iterator[str]:
    """Yield the name of a session that no other terminal has open. Raises DirigentError when a named one is taken.

    Two terminals on one session would take each other's messages; without a name the second gets a session of its own.
    """
    from filelock import FileLock, Timeout

    locks = folder / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    for name in [wanted] if wanted else [MAIN, *(str(number) for number in range(2, 100))]:
        lock = FileLock(locks / f"terminal-{_safe(name)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            yield _safe(name)
        finally:
            lock.release()
        return
    raise DirigentError(
        f"The session {wanted or MAIN!r} is open in another terminal.",
        hint="Leave it there, or give another name: `dirigent chat --session NAME`.",
    )


def _safe(name: str) -> str:
    from agent.domain.session import folder_name

    return folder_name(name).replace(".", "_")


# --- the terminal -------------------------------------------------------------------------------------------------
async def _terminal(app: App, arguments: argparse.Namespace, name: str) -> Terminal:
    return await terminal_for(app, arguments, name, one_request=bool(arguments.request))


async def terminal_for(app: App, arguments: argparse.Namespace, name: str, *, one_request: bool = True) -> Terminal:
    """Return the terminal of a session, attached; `arguments` say `json` and which `session` was asked for."""
    from agent.channels.terminal import Terminal
    from agent.domain.messages import Destination

    dest = Destination("terminal" if name == MAIN else f"terminal-{name}", MAIN)
    session = await app.orchestrator.sessions.open(dest.session_id)
    face = face_for(as_json=arguments.json)
    if name not in {MAIN, arguments.session}:
        face.notice(f"Another terminal is open: this one has a session of its own ({name}).")
    terminal = Terminal(
        store=app.store,
        face=face,
        keyboard=keyboard_for(app.config.folder, one_request=one_request, as_json=arguments.json),
        dest=dest,
        workspace=session.workspace,
        incoming=app.config.folder / "inbox" / dest.channel,
        here=Path.cwd(),
        user_name=_user(),
    )
    terminal.attach(app.reception)
    return terminal


def face_for(*, as_json: bool) -> Face:
    """Return JSON lines when asked for, a drawn face at a terminal, plain lines otherwise."""
    if as_json:
        from agent.channels.terminal.json_face import JsonFace

        return JsonFace()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from agent.channels.terminal.rich_face import RichFace

        return RichFace()
    from agent.channels.terminal.plain_face import PlainFace

    return PlainFace()


def keyboard_for(folder: Path, *, one_request: bool, as_json: bool) -> Keyboard:
    """Return a person's keyboard where there is one, a pipe's lines for a conversation, nobody otherwise."""
    from agent.channels.terminal.keyboard import LineKeyboard, NoKeyboard, PromptKeyboard

    person = sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty()) and not as_json
    if person:
        return PromptKeyboard(folder / "history")
    return NoKeyboard() if one_request else LineKeyboard()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _file(name: str, config: AppConfig) -> Path:
    """Return the file that goes with the request; standard input becomes one."""
    if name == "-":
        folder = config.folder / "inbox" / f"stdin-{uuid.uuid4().hex[:8]}"
        folder.mkdir(mode=0o700, parents=True)
        file = folder / "stdin.txt"
        file.write_bytes(sys.stdin.buffer.read())
        return file
    file = Path(name).expanduser().absolute()
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise DirigentError(f"--file {name}: this {what}.", hint="Name a file; `-` is standard input.")
    return file
