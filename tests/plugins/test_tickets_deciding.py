"""What is done with a ticket, from what its text was classified as."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from plugins.api import ToolFailure
from plugins.tickets import change_ticket_file, decide_ticket, fetch_tickets, report_tickets, sample_tickets

TICKET = {"id": "7", "title": "Help", "queue": "Inbox", "priority": "2 normal"}
BILLING = {"label": "Billing", "score": 0.75, "method": "rules", "rule": "invoice*"}
URGENT = {"label": "urgent", "score": 0.9, "method": "model"}
NAMES = {"urgent": "3 high"}
SHIPPED = Path(__file__).parents[2] / "plugins/tickets/pipelines/tickets.yaml"


def test_a_sure_label_moves_the_ticket_and_the_note_says_why():
    made = decide_ticket(TICKET, BILLING, URGENT, names=NAMES).value
    assert (made["queue"], made["priority"], made["change"]) == ("Billing", "3 high", True)
    assert made["note"] == (
        "Sorted by Dirigent.\n"
        "Queue: Billing (score 0.75, by rules, rule 'invoice*')\n"
        "Priority: 3 high (score 0.90, by model)"
    )


@pytest.mark.parametrize(
    ("ticket", "queue", "priority"),
    [
        (TICKET, {**BILLING, "score": 0.4}, None),
        (TICKET, None, {**URGENT, "score": 0.1}),
        (TICKET, {"label": "", "score": 0.0}, {"label": "normal", "confidence": 1.0}),
        ({**TICKET, "queue": "billing"}, BILLING, None),
        ({**TICKET, "priority": "5 very high"}, None, URGENT),
        ({**TICKET, "sorted": True}, BILLING, URGENT),
        (TICKET, "Billing", ["urgent"]),
    ],
)
def test_what_is_unsure_done_already_or_lower_changes_nothing(ticket: Any, queue: Any, priority: Any):
    queue, priority = (found if isinstance(found, dict) else None for found in (queue, priority))
    made = decide_ticket(ticket, queue, priority, names=NAMES)
    assert (made.value["change"], made.value["note"]) == (False, "")
    assert made.text == "Ticket 7 stays as it is."


def test_a_priority_is_lowered_only_when_that_is_wanted():
    ticket = {**TICKET, "priority": "4 high"}
    assert not decide_ticket(ticket, None, {"label": "1 low", "score": 1}).value["change"]
    assert decide_ticket(ticket, None, {"label": "1 low", "score": 1}, lower=True).value["priority"] == "1 low"


def test_a_models_answer_counts_by_its_confidence():
    made = decide_ticket(TICKET, {"choice": "Sales", "confidence": 0.8}).value
    assert (made["queue"], made["why"]["queue"]) == ("Sales", "score 0.80, by llm")


def test_a_threshold_out_of_range_is_refused():
    with pytest.raises(ToolFailure, match="threshold is 2"):
        decide_ticket(TICKET, BILLING, threshold=2)


@functools.cache
def shipped_pattern() -> str:
    steps = YAML(typ="safe", pure=True).load(SHIPPED.read_text())["steps"]
    return next(step for step in steps if step["id"] == "note")["consent"]["text"]["pattern"]


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=100))
def test_a_note_about_a_shipped_label_is_always_within_the_shipped_pattern(title: str, queue: str, rule: str):
    found = {"label": "Orders", "score": 0.5, "method": "rules", "rule": rule}
    made = decide_ticket({"id": "1", "title": title, "queue": queue}, found, URGENT, names=NAMES).value
    assert re.fullmatch(shipped_pattern(), made["note"])


def test_the_report_counts_and_cannot_be_broken_by_a_title():
    moved = decide_ticket({**TICKET, "title": "a | b\n| c |\u202e"}, BILLING).value
    stays = decide_ticket({**TICKET, "id": "8"}).value
    failed = decide_ticket({**TICKET, "id": "9"}, BILLING).value
    made = report_tickets([moved, stays, failed, None], [{"id": "7"}, None, None, None])
    assert made.value["counts"] == {"tickets": 4, "changed": 1, "left": 1, "failed": 2}
    assert made.text.startswith("4 tickets: 1 changed, 2 could not be changed.")
    assert "| 7 | a / b / c / | Inbox | Billing |" in made.text
    assert "| 9 | Help | Inbox | could not become Billing |" in made.text


def test_a_dry_report_says_what_would_be():
    made = report_tickets([decide_ticket(TICKET, BILLING).value], None, dry=True)
    assert made.text.startswith("1 ticket: 1 would change.")
    assert "would become Billing" in made.text
    assert report_tickets([]).text == "There was no ticket to sort."


async def test_a_ticket_file_is_changed_and_noted_once_and_then_counts_as_sorted(
    host_ctx: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(host_ctx.workdir)
    sample_tickets()
    note = decide_ticket(TICKET, BILLING).value["note"]
    for added in (True, False):
        made = change_ticket_file("1001", queue="Billing", note=note)
        assert made.value == {"id": "1001", "added": added, "queue": "Billing", "priority": "2 normal", "state": "new"}
    rows = (await fetch_tickets(host_ctx, "state:new")).value
    assert [row["sorted"] for row in rows if row["id"] in {"1001", "1002"}] == [True, False]


async def test_a_customer_cannot_make_a_ticket_count_as_sorted(host_ctx: Any):
    (host_ctx.workdir / "tickets").mkdir()
    body = "Sorted by Dirigent.\nQueue: x\n\n[dirigent:0123456789abcdef]"
    words = '{"id": "1", "title": "t", "body": %s, "notes": [{"sender": "customer", "body": %s}]}'
    quoted = '"' + body.replace("\n", "\\n") + '"'
    (host_ctx.workdir / "tickets/1.json").write_text(words % (quoted, quoted))
    assert [row["sorted"] for row in (await fetch_tickets(host_ctx)).value] == [False]
