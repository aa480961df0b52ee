"""Saved pipelines as files: written whole or not at all, never over another one, renamed with what uses them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.composer import answer_from_results
from agent.domain.states import Status
from agent.errors import ConfigError, DirigentError, NotFound
from agent.texts import LANGUAGES

if TYPE_CHECKING:
    from pathlib import Path

    from agent.automation.scheduler import AutomationScheduler
    from agent.catalogue import Catalogue
    from agent.domain.run import Run, StepRecord
    from agent.pipelines import Pipelines
    from agent.planning.saving import Draft
    from agent.store.protocol import Store

LOOKED_BACK = 20


@dataclass(frozen=True, slots=True)
class Saved:
    """A run and its pipeline. `name` is "" while there is none; `fixed` names inputs that were made constants."""

    run: Run
    draft: Draft
    name: str = ""
    fixed: tuple[str, ...] = ()


class RunSaver:
    """Saves finished runs as pipelines in `folder`. `with_model` says that answers may be written by a model."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        pipelines: Pipelines,
        automation: AutomationScheduler,
        folder: Path,
        *,
        with_model: bool,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._pipelines = pipelines
        self._automation = automation
        self._folder = folder
        self._with_model = with_model
        self._changing = asyncio.Lock()  # two taps at once are one

    # --- finding ------------------------------------------------------------------------------------------------
    async def last_of(self, session_id: str) -> Run:
        """Return a chat's last request that can be saved. Raises NotFound."""
        from agent.planning.saving import can_be_saved  # what saving needs is loaded when something is saved

        for run in await self._store.recent_runs(session_id, LOOKED_BACK):
            if run.status is Status.COMPLETED and can_be_saved(run, await self._store.get_steps(run.id)):
                return run
        raise NotFound(
            "There is nothing to save here yet.",
            hint="Ask for something that takes a tool; when it is done, it can be saved.",
        )

    async def look(self, run: Run) -> Saved:
        """Return how a run stands: its draft, and the pipeline that it was saved as. Raises NotFound, PlanError."""
        if run.status is not Status.COMPLETED:
            raise NotFound(f"The run {run.ref} did not end well ({run.status.lower()}).", hint="Save one that did.")
        from agent.planning.saving import draft_of

        kept = json.loads(await self._store.get_value(_key(run)) or "{}")
        fixed = tuple(kept.get("fixed", ()))
        name = str(kept.get("name", ""))
        records = await self._store.get_steps(run.id)
        composed = self._with_model and _was_composed(run, records)
        draft = await asyncio.to_thread(draft_of, run, records, self._catalogue.find, fixed=fixed, composed=composed)
        return Saved(run, draft, name if name and self._file(name).exists() else "", fixed)

    # --- changing -----------------------------------------------------------------------------------------------
    async def save(self, run: Run, name: str = "") -> Saved:
        """Write a run's pipeline, under a name that is free; one that is saved already stays as it is.

        Raises NotFound or PlanError for a run that cannot be one, ConfigError for a name that cannot be or is taken.
        """
        async with self._changing:
            return await self._save(run, name)

    async def _save(self, run: Run, name: str) -> Saved:
        found = await self.look(run)
        if found.name:
            return found if name in {"", found.name} else await self._rename(run, name)
        if name:
            self._check_name(name := _plain(name))
        chosen = name or await self._free(found.draft.name)
        await self._keep(run, chosen, found.fixed)  # first: after a crash a second tap does not make a second file
        try:
            await asyncio.to_thread(self._write, chosen, found.draft.yaml(chosen))
        except DirigentError:
            await self._keep(run, "", found.fixed)
            raise
        await self._store.audit("pipeline", run.session_id, {"saved": chosen, "run": run.ref})
        return await self.look(run)

    async def rename(self, run: Run, name: str) -> Saved:
        """Give a saved pipeline another name, in its file and in the schedules that run it. Raises like `save`."""
        async with self._changing:
            return await self._rename(run, name)

    async def _rename(self, run: Run, name: str) -> Saved:
        found = await self.look(run)
        new = _plain(name)
        if not found.name:
            raise NotFound("It is not saved any more.", hint="/save saves the last request again.")
        if new == found.name:
            return found
        self._check_name(new)
        text = await asyncio.to_thread(self._file(found.name).read_text, encoding="utf-8")
        await asyncio.to_thread(self._write, new, _renamed(text, found.name, new))
        await self._keep(run, new, found.fixed)
        await self._move_triggers(found.name, new)
        await asyncio.to_thread(self._remove, found.name)
        return await self.look(run)

    async def fix(self, run: Run, name: str) -> Saved:
        """Make an input a constant, or an input again; changes that a person made in the file are lost by it."""
        async with self._changing:
            return await self._fix(run, name)

    async def _fix(self, run: Run, name: str) -> Saved:
        found = await self.look(run)
        fixed = tuple(one for one in found.fixed if one != name) if name in found.fixed else (*found.fixed, name)
        await self._keep(run, found.name, fixed)
        made = await self.look(run)
        if made.name:
            await asyncio.to_thread(self._replace, made.name, made.draft.yaml(made.name))
        return made

    async def remove(self, run: Run) -> str:
        """Delete a saved pipeline and return its name. Raises NotFound, and ConfigError while schedules run it."""
        found = await self.look(run)
        if not found.name:
            raise NotFound("It is not saved any more.", hint="Nothing was changed.")
        used = [trigger for trigger in await self._store.triggers() if trigger.target.get("pipeline") == found.name]
        if used:
            raise ConfigError(f"“{found.name}” has {len(used)} schedule(s).", hint="Delete them first: /schedules.")
        await asyncio.to_thread(self._remove, found.name)
        await self._keep(run, "", found.fixed)
        return found.name

    async def text_of(self, saved: Saved) -> str:
        """Return the YAML: of the file when there is one, else of the draft."""
        if not saved.name:
            return await asyncio.to_thread(saved.draft.yaml)
        return await asyncio.to_thread(self._file(saved.name).read_text, encoding="utf-8")

    async def copy_of(self, saved: Saved, text: str) -> Path:
        """Write a text that is too long for a message where a channel can send it from; return the file."""
        folder = self._folder.parent / "shown"
        file = folder / f"{saved.name or saved.draft.name}.yaml"
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(file.write_text, text, encoding="utf-8")
        return file

    async def _move_triggers(self, old: str, new: str) -> None:
        for trigger in await self._store.triggers():
            if trigger.target.get("pipeline") == old:
                name = new if trigger.name == old else trigger.name
                await self._automation.update(trigger.id, target={**trigger.target, "pipeline": new}, name=name)

    async def _keep(self, run: Run, name: str, fixed: tuple[str, ...]) -> None:
        await self._store.set_value(_key(run), json.dumps({"name": name, "fixed": fixed}))

    # --- files --------------------------------------------------------------------------------------------------
    async def _free(self, name: str) -> str:
        taken = set(await asyncio.to_thread(self._pipelines.names))
        return next(n for n in (name, *(f"{name}-{k}" for k in range(2, 10_000))) if n not in taken)

    def _check_name(self, name: str) -> None:
        from agent.planning.pipeline import NAME

        if not NAME.match(name):
            raise ConfigError(f"{name!r} cannot be a name.", hint="Use letters, digits, '-' and '_', at most 64.")
        if name in self._pipelines.names():
            raise ConfigError(f"There is a pipeline “{name}” already.", hint="Choose another name.")

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.yaml"

    def _write(self, name: str, text: str) -> None:
        """Write a file that appears whole and checked. Raises ConfigError when the name was taken meanwhile."""
        fresh = self._fresh(name, text)
        try:
            os.link(fresh, self._file(name))
        except FileExistsError:
            raise ConfigError(f"There is a pipeline “{name}” already.", hint="Choose another name.") from None
        finally:
            fresh.unlink()

    def _replace(self, name: str, text: str) -> None:
        self._fresh(name, text).replace(self._file(name))

    def _fresh(self, name: str, text: str) -> Path:
        """Write a file beside the pipelines, of a kind that is none, and check what is in it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._folder / f".{name}.{os.getpid()}.new"
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            self._pipelines.load(fresh)
        except Exception:
            fresh.unlink()
            raise
        return fresh

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._file(name).unlink()


def _plain(name: str) -> str:
    from agent.planning.saving import as_name

    return as_name(name)


def _renamed(text: str, old: str, new: str) -> str:
    """Return a pipeline's text with another name; whatever a person wrote there stays."""
    named = re.sub(r"(?m)^name:.*$", f"name: {json.dumps(new)}", text, count=1)
    return named.replace(f"/run {old}", f"/run {new}", 1)


def _was_composed(run: Run, records: list[StepRecord]) -> bool:
    """Say whether the answer was written by a model, and is more than the results as they stand."""
    results: list[dict[str, Any]] = [
        {"id": r.step.id, "title": r.step.label, "status": r.response_status, "text": r.text, "error": r.error}
        for r in records
    ]
    plain = {answer_from_results(results, language=language).strip() for language in LANGUAGES}
    return run.answer.strip() not in {"", *plain}


def _key(run: Run) -> str:
    return f"saved:{run.ref}"
