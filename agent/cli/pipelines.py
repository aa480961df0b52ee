"""`dirigent pipelines`: the pipelines of the home and of plugins; check them, switch on or off what starts them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.agreeing import agree_to_triggers
from agent.errors import DirigentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from agent.app import App
    from agent.automation.overview import PipelineRow

EXAMPLES = """\
examples:
  dirigent pipelines
  dirigent pipelines show tickets
  dirigent pipelines check                    every pipeline; with names or files only those
  dirigent pipelines enable film              of a plugin: all that it ships
  dirigent pipelines disable tickets
  dirigent pipelines save 6Jw2kQxA monthly    a finished run as a pipeline of the home
  dirigent pipelines reload                   set the triggers as the files say now

Pipelines lie in `pipelines/` of the home; plugins bring others. What stands under `triggers:` starts those of the home
by itself, and shipped ones once they are enabled. `dirigent serve` notices changed files by itself. What a pipeline
would change outside by itself is shown when it is enabled, exactly, and asked once; disable takes that back.
"""
SUFFIXES = {".yaml", ".yml"}
BY = "terminal"  # who has this machine's home is the owner
ACTIONS = ("list", "show", "check", "enable", "disable", "reload", "save")


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument(
        "names", nargs="*", metavar="NAME", help="pipelines; for check also files; for save a run and a name"
    )
    made.add_argument(
        "--yes", action="store_true", help="save: also steps that were chosen after outside text was read"
    )
    made.add_argument("--json", action="store_true", help="list and show as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List, check or switch pipelines. Raises DirigentError for a name that names none."""
    from agent.cli.opening import open_config

    if arguments.action in {"show", "enable", "disable", "save"} and not arguments.names:
        raise DirigentError(
            f"`dirigent pipelines {arguments.action}` needs a name.", hint="`dirigent pipelines` lists them."
        )
    if arguments.action in {"list", "reload"} and arguments.names:
        raise DirigentError(
            f"`dirigent pipelines {arguments.action}` takes no name.", hint="`dirigent pipelines show NAME` shows one."
        )
    return asyncio.run(_run(open_config(arguments), arguments))


async def _run(config: Any, arguments: argparse.Namespace) -> int:
    from agent.cli.opening import journal_open

    async with journal_open(config) as app:
        return await ACTIONS_OF[arguments.action](app, arguments)


async def _save(app: App, arguments: argparse.Namespace) -> int:
    from agent.cli.saving import save

    return await save(app, arguments)


async def _rows(app: App, names: list[str] | None = None) -> list[PipelineRow]:
    from agent.automation.overview import pipeline_rows

    await app.scheduled.set_schedules()
    return await pipeline_rows(app.pipelines, app.scheduled, app.store, names)


async def _list(app: App, arguments: argparse.Namespace) -> int:
    from agent.automation.overview import pipeline_lines

    rows = await _rows(app)
    if arguments.json:
        print(json.dumps([as_data(row) for row in rows], ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        first, *more = pipeline_lines(row)
        print(first, *(f"    {line}" for line in more), sep="\n")
    if not rows:
        print(f"There are no pipelines: put a YAML file into {app.pipelines.folder}.")
    return 0


async def _show(app: App, arguments: argparse.Namespace) -> int:
    from agent.automation.overview import pipeline_lines, trigger_line

    for name in arguments.names:
        app.pipelines.file_of(name)
    rows = await _rows(app, arguments.names)
    if arguments.json:
        print(json.dumps([as_data(row) for row in rows], ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        print(*[line for line in pipeline_lines(row) if not line.startswith("starts: ")], sep="\n")
        print(f"  file: {app.pipelines.file_of(row.name)}")
        for trigger in row.triggers:
            print(f"  {trigger_line(trigger)}")
        for run in await app.store.runs_of(f"pipeline:{row.name}", 5):
            print(f"  run {run.ref}  {run.status.lower()}{f': {run.error}' if run.error else ''}")
    return 0


async def _check(app: App, arguments: argparse.Namespace) -> int:
    """Check pipelines as a whole; the exit code is 1 when something is wrong."""
    names = arguments.names or app.pipelines.names()
    wrong = 0
    await app.scheduled.set_schedules()
    for name in names:
        wrong += not await _is_good(app, name)
    if not names:
        print(f"There are no pipelines in {app.pipelines.folder}.")
    return 1 if wrong else 0


async def _is_good(app: App, name: str) -> bool:
    """Tell what is wrong with a pipeline, by name or file, or that nothing is."""
    file = Path(name).expanduser()  # noqa: ASYNC240 - one short call
    said = app.scheduled.problems.get(name, "")
    try:
        ready = await asyncio.to_thread(app.pipelines.load, file if file.suffix in SUFFIXES else name)
    except DirigentError as error:
        said = error.message
    if said:
        print(f"✗ {name}\n" + "\n".join(f"    {line}" for line in said.splitlines()))
        return False
    print(f"✓ {name}: {len(ready.steps)} steps, {len(ready.pipeline.triggers)} triggers")
    return True


async def _enable(app: App, arguments: argparse.Namespace) -> int:
    for name in _meant(app, arguments.names):
        if not await agree_to_triggers(app.store, await app.pipelines.ready(name), BY):
            print(f"{name}: not agreed, so each change asks first.")
    return await _switch(app, arguments.names, on=True)


async def _disable(app: App, arguments: argparse.Namespace) -> int:
    from agent.policy.grants import take_back

    for name in _meant(app, arguments.names):
        await take_back(app.store, name)
    return await _switch(app, arguments.names, on=False)


def _meant(app: App, names: list[str]) -> list[str]:
    """Return the pipelines of these names, and those of plugins of these names."""
    return [one for one, place in app.pipelines.places().items() if {one, place.plugin} & set(names)]


async def _switch(app: App, names: list[str], *, on: bool) -> int:
    for name in names:
        meant = await app.scheduled.switch(name, on=on)
        for row in await _rows(app, meant):
            starts = f"{row.declares} trigger{'' if row.declares == 1 else 's'}"
            print(f"{row.name}: {starts} {'on' if on else 'off'}.")
            if row.problem:
                print(f"    ⚠️ {row.problem}")
    return 0


async def _reload(app: App, _arguments: argparse.Namespace) -> int:
    changes = await app.scheduled.set_schedules()
    made = (("new", changes.created), ("changed", changes.changed), ("gone", changes.deleted))
    told = [f"{word}: {', '.join(names)}" for word, names in made if names]
    print("Triggers: " + ("; ".join(told) or "nothing has changed") + ".")
    for name, why in changes.problems.items():
        print(f"✗ {name}\n" + "\n".join(f"    {line}" for line in why.splitlines()))
    return 1 if changes.problems else 0


def as_data(row: PipelineRow) -> dict[str, Any]:
    """Return a pipeline as JSON values."""
    from agent.cli.schedules import as_data as trigger_data

    return {
        "name": row.name,
        "plugin": row.plugin,
        "about": row.about,
        "problem": row.problem,
        "on": row.on,
        "declares": row.declares,
        "triggers": [trigger_data(trigger) for trigger in row.triggers],
        "last_run": {"ref": row.last.ref, "status": row.last.status, "at": row.last.created_at} if row.last else None,
        "outcomes": row.outcomes,
    }


ACTIONS_OF: dict[str, Callable[[App, argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "check": _check,
    "enable": _enable,
    "disable": _disable,
    "reload": _reload,
    "save": _save,
}
