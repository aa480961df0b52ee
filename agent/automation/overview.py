"""Pipelines, chains, projects and events in words: what the command line and the chat show of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.automation.telling import described, upcoming
from agent.automation.times import zone
from agent.domain.states import FINAL, Status
from agent.errors import DirigentError
from agent.pipelines import in_words

if TYPE_CHECKING:
    from agent.automation.pipelines import PipelineOrchestrator
    from agent.domain.chain import Chain, ChainHistory
    from agent.domain.event import Event
    from agent.domain.project import ProjectStatus
    from agent.domain.run import Run
    from agent.domain.trigger import Trigger
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

OPEN = frozenset(Status) - FINAL
PAYLOAD_CHARS = 120


def moment(at: float, zone_name: str) -> str:
    """Return a moment in a zone: 2026-11-21 09:00."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone(zone(zone_name)):%Y-%m-%d %H:%M}"


# --- pipelines ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline as lists show it. `plugin` ships it ("" for the home's); `problem` says what is wrong with it.

    `declares` is how many triggers its file has; `triggers` are those that are set.
    """

    name: str
    plugin: str
    about: str
    problem: str
    declares: int
    triggers: tuple[Trigger, ...]
    on: bool
    last: Run | None
    outcomes: dict[str, int]

    @property
    def success(self) -> str:
        """How many of the ended runs succeeded, in words; "" before the first."""
        return share(self.outcomes)


def share(outcomes: dict[str, int]) -> str:
    """Return how many of the ended runs succeeded, in words; "" before the first has ended."""
    ended = sum(number for status, number in outcomes.items() if status in FINAL)
    return f"{outcomes.get(Status.COMPLETED, 0)} of {ended} runs succeeded" if ended else ""


async def pipeline_rows(
    pipelines: Pipelines, scheduled: PipelineOrchestrator, store: Store, names: list[str] | None = None
) -> list[PipelineRow]:
    """Return all pipelines, or those with the names, as lists show them."""
    triggers = await store.triggers()
    rows = []
    for name, place in pipelines.places().items():
        if names is not None and name not in names:
            continue
        about, declares, problem = "", 0, scheduled.problems.get(name, "")
        try:
            pipeline, _ = await asyncio.to_thread(pipelines.read, place.file)
            about, declares = in_words(pipeline), len(pipeline.triggers)
        except DirigentError as error:
            problem = error.message.splitlines()[0]
        newest = await store.runs_of(f"pipeline:{name}", 1)
        rows.append(
            PipelineRow(
                name,
                place.plugin,
                about,
                problem,
                declares,
                tuple(trigger for trigger in triggers if trigger.source == name),
                await scheduled.is_on(name),
                newest[0] if newest else None,
                await store.outcomes(f"pipeline:{name}"),
            )
        )
    return rows


def pipeline_lines(row: PipelineRow) -> list[str]:
    """Return a pipeline in lines: name and what it does, where it is from, what starts it, how it has gone."""
    lines = [f"{row.name} — {row.about or row.problem}"]
    notes = [f"comes with the plugin {row.plugin}"] if row.plugin else []
    notes += [f"last run {row.last.status.lower()}", row.success] if row.last else []
    lines += [" · ".join(note for note in notes if note)] if notes else []
    lines += [f"starts: {described(one)}{'' if one.enabled else ' (off)'}" for one in row.triggers]
    if row.declares and not row.on:
        lines.append(f"it can start by itself: `dirigent pipelines enable {row.name}`")
    return lines + ([f"⚠️ {row.problem}"] if row.problem and row.about else [])


def trigger_line(trigger: Trigger) -> str:
    """Return a trigger in a line: its id, when it fires, when next."""
    return f"{trigger.id}  {described(trigger)} · {upcoming(trigger)}"


# --- chains -------------------------------------------------------------------------------------------------------
def chain_line(chain: Chain, history: ChainHistory, zone_name: str) -> str:
    """Return a chain in a line: its pipelines, its success rate, its last execution."""
    parts = [f"{chain.name}: {' → '.join(chain.workflows)}"]
    if history.success_rate is not None:
        parts.append(f"{history.success_rate:.0%} of {history.succeeded + history.failed} runs succeeded")
    if history.last_execution is not None:
        last = history.last_execution
        parts.append(f"last {moment(last.created_at, zone_name)} {last.status.lower()}")
    return " · ".join(parts)


# --- projects -----------------------------------------------------------------------------------------------------
def project_line(status: ProjectStatus) -> str:
    """Return a project in a line: whether it is paused, its money, its runs and events."""
    project, balance = status.project, status.balance
    spent = f"{balance.money:.2f} $"
    if project.budget is not None:
        spent += f" of {project.budget:.2f} $ spent"
        spent += f", {balance.reserved_money:.2f} $ set aside" if balance.reserved_money else ""
    else:
        spent += " spent, no budget"
    parts = [f"{project.name}{' (paused)' if project.paused else ''}", spent]
    going_on = sum(number for name, number in status.runs.items() if name in OPEN)
    parts += [f"{sum(status.runs.values())} runs, {going_on} going on"] if status.runs else []
    parts += [f"{status.events['new']} events waiting"] if status.events.get("new") else []
    parts += [f"{status.events['dead']} dead events"] if status.events.get("dead") else []
    return " · ".join(parts)


# --- events -------------------------------------------------------------------------------------------------------
def event_line(event: Event, zone_name: str) -> str:
    """Return an event in a line: its number, what it is, what became of it."""
    project = f" [{event.project}]" if event.project else ""
    why = f": {event.error}" if event.error else ""
    return f"{event.id}  {moment(event.received_at, zone_name)}  {event.type}{project}  {event.status}{why}"


def event_data(event: Event) -> dict[str, Any]:
    """Return an event as JSON values; times are seconds since 1970."""
    return {
        "id": event.id,
        "key": event.key,
        "type": event.type,
        "source": event.source,
        "project": event.project,
        "priority": event.priority,
        "status": event.status,
        "run_id": event.run_id,
        "error": event.error,
        "at": event.at,
        "received_at": event.received_at,
        "trusted": event.label.trusted,
        "payload": event.payload,
    }
