"""`dirigent pipelines save`: a finished run as a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import DirigentError, NotFound

if TYPE_CHECKING:
    import argparse

    from agent.app import App


async def save(app: App, arguments: argparse.Namespace) -> int:
    """Save a run under a name, or under one made of its request. Steps that are not the person's own need `--yes`.

    Raises NotFound for a run that there is none of, DirigentError for one that cannot be a pipeline.
    """
    ref, name = [*arguments.names, ""][:2]
    run = await app.store.find_run(ref)
    if run is None:
        raise NotFound(
            f"There is no run {ref!r}.", hint="`dirigent chat --json` tells runs; so do the answers' buttons."
        )
    found = await app.saver.look(run)
    if found.draft.doubts and not found.name and not arguments.yes:
        print(await app.saver.text_of(found))
        raise DirigentError(
            f"The steps of this run were chosen after reading {', '.join(found.draft.doubts[:8])}: they are not yours "
            "alone. As a pipeline they would run without that being asked again.",
            hint="Look at the YAML above; `--yes` saves it as it stands.",
        )
    saved = await app.saver.save(run, name)
    print(f"Saved as {saved.name}: takes {saved.draft.takes}.")
    if saved.draft.effects:
        print(f"It changes something outside: {', '.join(saved.draft.effects)}.")
    print(f"{app.pipelines.file_of(saved.name)}\n`dirigent run {saved.name}` runs it; `/run {saved.name}` in a chat.")
    return 0
