"""`dirigent projects`: work that shares a budget, one line of runs, and events that keep their order."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, DirigentError, NotFound

if TYPE_CHECKING:
    import argparse

    from agent.app import App
    from agent.domain.project import Project, ProjectStatus

EXAMPLES = """\
examples:
  dirigent projects
  dirigent projects create film --budget 20 --chat telegram:4711
  dirigent projects budget film 30            or `none`
  dirigent projects pause film                its events are kept, and handled in order when it goes on
  dirigent projects resume film
  dirigent projects show film

Budgets are in US dollars. The runs of a project work in its chat's session, one at a time.
"""
ACTIONS = ("list", "create", "budget", "pause", "resume", "show")
NAME_CHARS = 64


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("name", nargs="?", default="", metavar="NAME", help="the project")
    made.add_argument("amount", nargs="?", default="", metavar="DOLLARS", help="budget: the new one, or `none`")
    made.add_argument("--budget", default="", metavar="DOLLARS", help="create: what it may spend (default: no limit)")
    made.add_argument("--warn-at", type=float, default=None, metavar="SHARE", help="warn at this share, such as 0.9")
    made.add_argument("--chat", default="", metavar="ID", help="create: the chat that its runs work in and speak to")
    made.add_argument("--json", action="store_true", help="list and show as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List or change projects. Raises DirigentError for a name that names none."""
    from agent.cli.opening import open_config

    if (arguments.action == "list") == bool(arguments.name):
        raise DirigentError(
            f"`dirigent projects {arguments.action}` {'takes no' if arguments.name else 'needs a'} name.",
            hint="`dirigent projects` lists them; `dirigent projects create NAME` makes one.",
        )
    if (arguments.action == "budget") != bool(arguments.amount):
        hint = "dirigent projects budget NAME DOLLARS"
        said = "The new budget is missing." if arguments.action == "budget" else f"{arguments.amount!r} is too much."
        raise DirigentError(said, hint=hint)
    return asyncio.run(_run(open_config(arguments), arguments))


async def _run(config: Any, arguments: argparse.Namespace) -> int:
    from agent.cli.opening import journal_open

    async with journal_open(config) as app:
        await _ACTIONS_OF[arguments.action](app, arguments)
    return 0


async def _list(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import project_line

    found = [await app.store.project_status(project.name) for project in await app.store.projects()]
    there = [status for status in found if status is not None]
    if arguments.json:
        print(json.dumps([as_data(status) for status in there], ensure_ascii=False, indent=1))
        return
    for status in there:
        print(f"{project_line(status)} · {status.project.session_id}")
    if not there:
        print("There are no projects yet. `dirigent projects create NAME --budget 20` makes one.")


async def _named(app: App, name: str) -> Project:
    import difflib

    found = await app.store.get_project(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, [one.name for one in await app.store.projects()], n=1)
    hint = f"Did you mean '{near[0]}'?" if near else "`dirigent projects create NAME` makes one."
    raise NotFound(f"There is no project '{name}'.", hint=hint)


def _money(text: str) -> float | None:
    """Return US dollars, None for `none`. Raises ConfigError."""
    import math

    if text.strip().lower() in {"", "none"}:
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not (math.isfinite(amount) and amount >= 0):
        raise ConfigError(f"{text!r} is no budget.", hint="Give US dollars, such as 20 or 0.5, or `none`.")
    return amount


async def _create(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import project_line
    from agent.cli.chats import destination
    from agent.domain.project import Project

    name = arguments.name
    if len(name) > NAME_CHARS or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{name[:80]!r} is no name.", hint=f"Use letters, digits, - and _ (at most {NAME_CHARS}).")
    if await app.store.get_project(name) is not None:
        raise ConfigError(
            f"There is a project '{name}' already.", hint="`dirigent projects budget` changes its budget."
        )
    dest = await destination(app, arguments.chat)
    made = Project(name, dest.session_id, dest, _money(arguments.budget), _share(arguments.warn_at, 0.9))
    await app.store.put_project(made)
    status = await app.store.project_status(name)
    assert status is not None
    print(f"{project_line(status)} · {dest.session_id}")


def _share(wanted: float | None, usual: float) -> float:
    share = usual if wanted is None else wanted
    if not 0 < share <= 1:
        raise ConfigError(f"--warn-at {share:g} cannot be.", hint="Give a share of the budget, such as 0.9.")
    return share


async def _budget(app: App, arguments: argparse.Namespace) -> None:
    project = await _named(app, arguments.name)
    amount = _money(arguments.amount)
    share = _share(arguments.warn_at, project.warn_at)
    await app.store.put_project(replace(project, budget=amount, warn_at=share))
    print(f"{project.name} may spend {'as much as it takes' if amount is None else f'{amount:.2f} $'}.")


async def _pause(app: App, arguments: argparse.Namespace) -> None:
    project = await _named(app, arguments.name)
    await app.automation.pause_project(project.name, paused=True)
    print(f"{project.name} is paused: its events are kept, runs that have begun go on.")


async def _resume(app: App, arguments: argparse.Namespace) -> None:
    project = await _named(app, arguments.name)
    await app.automation.pause_project(project.name, paused=False)
    print(f"{project.name} goes on.")


async def _show(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import event_line, project_line
    from agent.automation.times import local_zone

    project = await _named(app, arguments.name)
    status = await app.store.project_status(project.name)
    assert status is not None
    if arguments.json:
        print(json.dumps(as_data(status), ensure_ascii=False, indent=1))
        return
    print(f"{project_line(status)} · {project.session_id}")
    for event in await app.store.newest_events(10, project=project.name):
        print(f"  {event_line(event, local_zone())}")


def as_data(status: ProjectStatus) -> dict[str, Any]:
    """Return a project as JSON values; money in US dollars."""
    project, balance = status.project, status.balance
    return {
        "name": project.name,
        "session": project.session_id,
        "budget": project.budget,
        "warn_at": project.warn_at,
        "spent": balance.money,
        "reserved": balance.reserved_money,
        "tokens": balance.tokens,
        "paused": project.paused,
        "runs": status.runs,
        "events": status.events,
        "created_at": project.created_at,
    }


_ACTIONS_OF = {
    "list": _list,
    "create": _create,
    "budget": _budget,
    "pause": _pause,
    "resume": _resume,
    "show": _show,
}
