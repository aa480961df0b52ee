"""The dashboard asks for metrics that there are, and all of it fits."""

from __future__ import annotations

import json
import re
from itertools import combinations

from agent.metrics import Metrics
from agent.testing import Bot
from agent.web.dashboard import dashboard

NOT_METRICS = {
    "sum",
    "by",
    "rate",
    "increase",
    "histogram_quantile",
    "le",
    "type",
    "status",
    "kind",
    "h",
    "__rate_interval",
}
NOT_METRICS |= {"max", "where", "outcome", "purpose", "network", "direction", "channel"}
NOT_METRICS |= {"chain_id", "workflow_id", "trigger_type"}


async def test_every_query_names_metrics_that_are_served(tmp_path):
    async with Bot(tmp_path / "home", [], offline=True) as bot:
        page = (await Metrics(bot.app.store, rung="A", load=bot.app.engine.load).page()).decode()
    served = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    asked = {target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())}
    named = set().union(*(re.findall(r"[a-z_]+", query) for query in asked)) - NOT_METRICS
    named = {re.sub(r"_bucket$", "", name) for name in named}
    assert {name for name in named if name not in served and f"{name.removesuffix('_total')}" not in served} == set()
    shown = {name.removesuffix("_total") for name in named}
    assert {name.removesuffix("_total") for name in served} - shown == set()


def test_panels_have_ids_of_their_own_and_don_t_overlap():
    made = json.loads(json.dumps(dashboard()))["panels"]
    assert len({panel["id"] for panel in made}) == len(made) > 15
    for one, other in combinations((panel["gridPos"] for panel in made), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in made)
