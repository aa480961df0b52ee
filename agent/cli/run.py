"""`dirigent run`: carry out a pipeline, or show what it would do."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import DirigentError

if TYPE_CHECKING:
    import argparse

    from agent.app import App
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.session import Session
    from agent.pipelines import Ready

EXAMPLES = """\
examples:
  dirigent run report.yaml --input file=sales.csv --input limit=10
  dirigent run weekly                             a pipeline (`dirigent pipelines`) or a chain, by its name
  dirigent run tickets --input samples=true       sorts sample tickets; `dirigent pipelines show tickets` says how
  dirigent run tickets --agree                    asks once for what it may change, instead of before each change
  dirigent run report.yaml --dry-run --picture plan.png
  dirigent run --run=6Jw2kQxA --from write        that run again from the step `write` on; earlier results are kept
  dirigent run --schema > pipeline.schema.json    for editors that complete YAML

Questions and approvals come in the terminal; with nobody there they stay open (exit code 3) for `dirigent chat`.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument(
        "pipeline", nargs="?", default="", metavar="FILE|NAME", help="a YAML file, or a pipeline's or chain's name"
    )
    made.add_argument("--input", action="append", default=[], metavar="K=V", help="an input; files are copied in")
    made.add_argument("--json", action="store_true", help="one JSON object a line")
    made.add_argument("--dry-run", action="store_true", help="show the plan, what it changes and costs; run nothing")
    made.add_argument("--agree", action="store_true", help="agree, once, to what the pipeline may change by itself")
    made.add_argument("--picture", default="", metavar="FILE", help="with --dry-run: draw the plan (PNG, SVG or PDF)")
    made.add_argument("--run", dest="old", default="", metavar="REF", help="go on from this run, with --from")
    made.add_argument("--from", dest="step", default="", metavar="STEP", help="the first step to run again")
    made.add_argument("--schema", action="store_true", help="print the JSON Schema of pipelines")
    made.add_argument("--session", default="", metavar="NAME", help="a session of its own: files, memory, history")
    made.add_argument("--model", metavar="NAME", help="use this model, or `offline` for none")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    if arguments.schema:
        from agent.planning.pipeline import schema

        print(json.dumps(schema(), indent=2, ensure_ascii=False))
        return 0
    if bool(arguments.old) != bool(arguments.step):
        raise DirigentError("--run and --from go together.", hint="dirigent run --run=REF --from STEP")
    if bool(arguments.old) == bool(arguments.pipeline):
        raise DirigentError("Name one pipeline, or an old run.", hint="dirigent run FILE|NAME --input name=value")
    if arguments.picture and not arguments.dry_run:
        raise DirigentError("--picture belongs to --dry-run.", hint="Add --dry-run; nothing is run then.")
    if arguments.dry_run:
        return _show(arguments)
    try:
        return asyncio.run(_run(arguments))
    except asyncio.CancelledError:
        return 130


def _inputs(arguments: argparse.Namespace) -> dict[str, str]:
    from agent.pipelines import inputs_of

    return inputs_of(arguments.input, "Write --input name=value.")


def _where(name: str) -> str | Path:
    """Return a file when the argument names one, else the name of a pipeline in the home."""
    file = Path(name).expanduser()
    return file if file.suffix in {".yaml", ".yml"} or file.is_file() else name


# --- showing --------------------------------------------------------------------------------------------------------
def _show(arguments: argparse.Namespace) -> int:
    from agent.cli.opening import open_config
    from agent.llm.prices import price
    from agent.parts import load_catalogue
    from agent.planning.pipeline_preview import AT_YOUR_WORD, draw, lines, look_at

    if arguments.old:
        raise DirigentError("--dry-run shows a pipeline, not an old run.", hint="dirigent run FILE|NAME --dry-run")
    config = open_config(arguments, model=arguments.model)
    catalogue = load_catalogue(config)
    ready = asyncio.run(_ready(config, catalogue, _where(arguments.pipeline)))
    if arguments.input:
        ready.given(_inputs(arguments))
    preview = look_at(
        ready.steps,
        catalogue.find,
        lambda read, wrote: price(config.model, read, wrote, config.llm.prices),
        config.plugins,
        replace(AT_YOUR_WORD, mode=config.policy.mode),
    )
    title = ready.name
    if arguments.picture:
        _draw(lambda: draw(preview, title, Path(arguments.picture)), arguments.picture)
    if arguments.json:
        print(json.dumps({"pipeline": title, **preview.to_json()}, ensure_ascii=False))
    else:
        print("\n".join(lines(preview, f"{title} — nothing is run")))
    return 0


async def _ready(config: AppConfig, catalogue: Catalogue, name: str | Path) -> Ready:
    """Return what is to be run; the journal is opened only for a chain."""
    from agent.parts import journal_of
    from agent.pipelines import Pipelines
    from agent.store.sql import SqlStore

    folder = config.folder / "pipelines"
    pipelines = Pipelines(folder, catalogue)
    if isinstance(name, Path) or name in pipelines.places():
        return pipelines.load(name)
    store = SqlStore(journal_of(config))
    await store.open()
    try:
        return await Pipelines(folder, catalogue, store).ready(name)
    finally:
        await store.close()


def _draw(drawn: Any, name: str) -> None:
    try:
        drawn()
    except (OSError, ValueError) as error:
        raise DirigentError(f"--picture {name}: {error}", hint="Name a file that ends in .png, .svg or .pdf.") from None


# --- running --------------------------------------------------------------------------------------------------------
async def _run(arguments: argparse.Namespace) -> int:
    from agent.cli.agreeing import agree_beforehand
    from agent.cli.chat import claimed, connected, opened, terminal_for
    from agent.cli.opening import open_config
    from agent.domain.run import Origin

    config = open_config(arguments, model=arguments.model)
    with claimed(config.folder, arguments.session) as name:
        async with opened(config) as (app, _):
            terminal = await terminal_for(app, arguments, name)
            session = await app.orchestrator.sessions.open(terminal.dest.session_id)
            given, source = await _given(app, session, arguments)
            if arguments.agree and not await agree_beforehand(app.store, given, terminal.user_id):
                raise DirigentError("Not agreed.", hint="Nothing was run.")
            async with connected(app, terminal):
                opened_run = await app.orchestrator.begin_run(
                    session.id,
                    f"{source.partition(':')[0].capitalize() or 'Pipeline'} {given['pipeline']}",
                    terminal.dest,
                    origin=Origin.COMMAND,
                    user_id=terminal.user_id,
                    title=given["pipeline"],
                    given=given,
                    source=source,
                )
                return (await terminal.follow(opened_run.id)).code


async def _given(app: App, session: Session, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return what the run is opened with, and what it counts as."""
    if arguments.old:
        return await _again(app, session, arguments)
    ready = await app.pipelines.ready(_where(arguments.pipeline), session.profile)
    inputs: dict[str, Any] = await _with_files(app, session, ready, _inputs(arguments))
    return ready.given(inputs, session.workspace), ready.source


async def _with_files(app: App, session: Session, ready: Ready, inputs: dict[str, str]) -> dict[str, Any]:
    """Return the inputs with the files that they name copied into the session's workspace."""
    from agent.domain.inputs import InputType

    taken: dict[str, Any] = dict(inputs)
    for name, value in inputs.items():
        spec = ready.pipeline.inputs.get(name)
        file = Path(value).expanduser()  # noqa: ASYNC240 - one short call
        if spec is not None and spec.type is InputType.FILE and file.is_file():
            taken[name] = await app.reception.take_in(session, file.absolute())
    return taken


async def _again(app: App, session: Session, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from agent.pipelines import going_on_from

    old = await app.store.find_run(arguments.old)
    if old is None or old.session_id != session.id or not old.given:
        raise DirigentError(
            f"{arguments.old!r} is no run of a pipeline in this session.",
            hint="The plan message of a run shows its id.",
        )
    if arguments.input:
        raise DirigentError("The inputs of an old run stay as they are.", hint="Run the pipeline anew to change them.")
    return going_on_from(old, await app.store.get_steps(old.id), arguments.step), old.source
