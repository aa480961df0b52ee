"""The command line: one module a command, loaded when it is called, so that `dirigent --help` answers at once.

Exit codes: 0 done · 1 failed, with a message · 2 wrong usage · 3 a question is open and nobody is there to answer it ·
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMMANDS = {
    "chat": "talk to Dirigent here, or have one request carried out",
    "run": "carry out a pipeline from a YAML file, or show what it would do",
    "serve": "answer on Telegram, carry out what is due, until stopped",
    "worker": "carry requests out, one of any number of workers; `serve` takes the messages",
    "init": "set up: Telegram, owners, model; tests both",
    "doctor": "check everything Dirigent needs and say what to do",
    "pipelines": "list pipelines, check them, save a run as one, switch on or off what starts them by itself",
    "chains": "pipelines one after the other: make, run and schedule chains, see how they went",
    "schedules": "list what runs by itself; run, pause, edit or delete it; watch a folder; make a webhook",
    "projects": "work with a budget of its own: make, pause, resume projects",
    "events": "list what has happened, publish events, handle dead ones again",
    "rules": "what is never done, what is always allowed, and who is known",
    "audit": "what was done and on whose word; check that the log is as it was written",
    "logs": "what the log says of one request, from its message to its delivered answer",
    "pair": "make a code that lets one person in",
    "web": "print a link to the pages that show and steer it all",
    "people": "list who may talk to the bot; remove, block, make them owner or member",
    "plugins": "list plugins, tools and commands",
    "mcp": "servers of tools that speak MCP: add, check, accept, remove; or be one for other programs",
    "skills": "list skills, instructions of yours for kinds of tasks; check them, make a new one",
    "service": "print a unit for systemd: starts with the machine, comes back after a crash",
    "deploy": "write a folder from which Dirigent starts in containers",
    "export": "write everything of an installation into one file",
    "import": "make an installation of such a file",
    "settings": "list every setting with its default and what it means",
    "migrate-store": "copy the journal into another database, such as PostgreSQL, and prove the copy equal",
    "migrate-sessions": "copy the files of all conversations into another folder, or S3-compatible storage",
    "test": "run Dirigent's own tests",
    "version": "say which version this is",
}
MODULES = {
    "deploy": "deploying",
    "test": "testing",
    "migrate-store": "migrating",
    "migrate-sessions": "moving",
    "export": "exporting",
    "import": "importing",
}

EXAMPLES = """\
examples:
  dirigent chat                                  a conversation in this terminal
  dirigent chat "Total per region from sales.csv, as a chart"
  dirigent init && dirigent serve                your own bot on Telegram
  dirigent doctor                                when something does not work

exit codes:
  0 done   1 failed, with a message   2 wrong usage   3 a question is open   130 interrupted

Settings lie in dirigent.toml in ~/.dirigent, or in DIRIGENT_HOME; `dirigent settings` explains them.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Never raises; errors are told on standard error."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (`dirigent settings | head`); keep the interpreter's own flush from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from agent.cli.failure import tell

        return tell(error)


def _run(words: list[str]) -> int:
    if words[:1] and words[0] in COMMANDS:
        name, rest = words[0], words[1:]
        command = import_module(f"agent.cli.{MODULES.get(name, name)}")
        parser = command.parser(_parser(f"dirigent {name}", COMMANDS[name]))
        if getattr(command, "PASSES_ON", False):
            return int(command.run(rest))
        return int(command.run(parser.parse_args(rest)))
    top = _top()
    arguments = top.parse_args(words)
    if arguments.version:
        return _run(["version"])
    top.print_help()
    return 0


def _parser(program: str, summary: str) -> argparse.ArgumentParser:
    import argparse

    made = argparse.ArgumentParser(
        prog=program,
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--home", metavar="FOLDER", help="use this home instead of DIRIGENT_HOME or ~/.dirigent")
    return made


def _top() -> argparse.ArgumentParser:
    import argparse

    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    top = argparse.ArgumentParser(
        prog="dirigent",
        usage="dirigent COMMAND [OPTIONS]",
        description=f"A planning agent that you host yourself.\n\ncommands:\n{listed}",
        epilog=f"{EXAMPLES}\n`dirigent COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="say which version this is")
    top.add_argument("command", nargs="?", metavar="COMMAND", type=_known, help=argparse.SUPPRESS)
    return top


def _known(name: str) -> str:
    """Refuse a command that does not exist, naming the nearest one."""
    import argparse
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    said = f"did you mean `dirigent {near[0]}`?" if near else f"there are {', '.join(COMMANDS)}"
    raise argparse.ArgumentTypeError(f"no command {name!r}; {said}")
