"""A dashboard for Grafana that shows the metrics: what waits, what fails, what it costs, how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OFTEN = "[$__rate_interval]"


def _within(share: float, histogram: str, label: str) -> str:
    """Return the query for the seconds within which a share of what a histogram counts has ended."""
    return f"histogram_quantile({share}, sum by (le, {label}) (rate({histogram}_bucket{OFTEN})))"


def _ever(share: float, histogram: str) -> str:
    """Return the same over all that a histogram counts."""
    return f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{OFTEN})))"


def _more(counter: str, *labels: str) -> str:
    """Return the query for how much a counter has grown, by labels."""
    return f"sum by ({', '.join(labels)}) (increase({counter}{OFTEN}))"


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: its queries in PromQL with the legend of each."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Work": (
        Panel("Unfinished runs", {"dirigent_runs_unfinished": "{{status}}"}),
        Panel("Runs ended", {_more("dirigent_runs_total", "status"): "{{status}}"}),
        Panel("Steps ended", {_more("dirigent_steps_total", "status"): "{{status}}"}),
        Panel("Steps, 95 % within", {_within(0.95, "dirigent_step_seconds", "type"): "{{type}}"}, "s"),
        Panel("Calls of tools", {_more("dirigent_tool_calls_total", "where", "outcome"): "{{where}} {{outcome}}"}),
        Panel("Queue", {"max(dirigent_queue_waiting)": "waiting", "max(dirigent_queue_at_work)": "at work"}),
        Panel("Workers", {"max(dirigent_workers_alive)": "alive", "max(dirigent_worker_slots_free)": "free places"}),
    ),
    "People and chat": (
        Panel("Waits for a person", {"dirigent_approvals_open": "approvals", "dirigent_questions_open": "questions"}),
        Panel("Messages to be sent", {"dirigent_outbox_messages": "outbox", "dirigent_inbox_messages": "inbox"}),
        Panel("Heard", {_more("dirigent_messages_received_total", "channel", "kind"): "{{channel}} {{kind}}"}),
        Panel("Deliveries", {_more("dirigent_deliveries_total", "kind", "outcome"): "{{kind}} {{outcome}}"}),
        Panel("Deliveries, 95 % within", {_ever(0.95, "dirigent_delivery_seconds"): "seconds"}, "s"),
        Panel("Oldest message", {"dirigent_outbox_lag_seconds": "outbox", "dirigent_inbox_age_seconds": "inbox"}, "s"),
    ),
    "Money and models": (
        Panel("Spent in an hour", {"increase(dirigent_money_dollars_total[1h])": "$"}, "currencyUSD"),
        Panel("Tokens", {_more("dirigent_tokens_total", "kind"): "{{kind}}"}),
        Panel("Calls", {f"increase(dirigent_calls_total{OFTEN})": "calls"}),
        Panel(
            "Calls of models", {_more("dirigent_model_calls_total", "purpose", "outcome"): "{{purpose}} {{outcome}}"}
        ),
        Panel("Models, 95 % within", {_within(0.95, "dirigent_model_seconds", "purpose"): "{{purpose}}"}, "s"),
        Panel("Tokens by purpose", {_more("dirigent_model_tokens_total", "purpose", "kind"): "{{purpose}} {{kind}}"}),
        Panel("Spent by purpose", {_more("dirigent_model_dollars_total", "purpose"): "{{purpose}}"}, "currencyUSD"),
    ),
    "What runs by itself": (
        Panel("Fires", {_more("trigger_fires_total", "trigger_type"): "{{trigger_type}}"}),
        Panel("Chains", {_more("chain_executions_total", "chain_id", "status"): "{{chain_id}} {{status}}"}),
        Panel("Half within", {_within(0.5, "workflow_duration_seconds", "workflow_id"): "{{workflow_id}}"}, "s"),
        Panel("Events that wait", {"dirigent_events_waiting": "{{status}}"}),
        Panel("At work", {"dirigent_automation_running": "automation"}, kind="stat"),
    ),
    "Sandbox": (
        Panel("Open boxes", {"sum(dirigent_sandbox_boxes)": "boxes"}),
        Panel("Jobs", {_more("dirigent_sandbox_jobs_total", "kind", "status"): "{{kind}} {{status}}"}),
        Panel("Jobs, 95 % within", {_within(0.95, "dirigent_sandbox_job_seconds", "kind"): "{{kind}}"}, "s"),
        Panel(
            "Connections",
            {_more("dirigent_sandbox_connections_total", "network", "outcome"): "{{network}} {{outcome}}"},
        ),
        Panel("Traffic", {_more("dirigent_sandbox_connection_bytes_total", "direction"): "{{direction}}"}, "bytes"),
        Panel("Walls", {"dirigent_sandbox_rung": "{{rung}}"}, kind="stat"),
    ),
}
WIDE, HIGH, ACROSS = 6, 8, 24
SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana's import takes it; it asks which Prometheus to read."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": ACROSS, "h": 1}, "panels": []})
        y += 1
        for number, panel in enumerate(row):
            place = {"x": number * WIDE % ACROSS, "y": y + number * WIDE // ACROSS * HIGH, "w": WIDE, "h": HIGH}
            panels.append(_drawn(panel, place))
        y += ((len(row) - 1) * WIDE // ACROSS + 1) * HIGH
    return {
        "title": "Dirigent",
        "uid": "dirigent",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }


def _drawn(panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend, "datasource": SOURCE}
        for number, (query, legend) in enumerate(panel.queries.items())
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
