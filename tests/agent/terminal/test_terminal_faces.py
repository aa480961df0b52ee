"""What the three faces show, and what no face may show."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from agent.channels.terminal.face import clean, clock, details_lines, figures
from agent.channels.terminal.json_face import JsonFace
from agent.channels.terminal.plain_face import PlainFace
from agent.channels.terminal.rich_face import RichFace

PLAN: dict[str, Any] = {
    "title": "Compare",
    "done": 1,
    "total": 3,
    "seconds": 41,
    "money": 0.012,
    "state": "running",
    "steps": [
        {"id": "s1", "label": "Collect", "status": "COMPLETED", "note": ""},
        {"id": "s2", "label": "Compare", "status": "RUNNING", "note": "reading 2 of 3"},
        {"id": "s3", "label": "Write", "status": "PENDING", "note": ""},
    ],
    "hidden": 0,
}
NASTY = "safe\x1b[2J\x1b]0;title\x07\u202egnp.exe\u200b\r\x9b31m"


class Drawn:
    """The three faces, each with all that it wrote."""

    def __init__(self, kind: str) -> None:
        self.out, self.aside = io.StringIO(), io.StringIO()
        self.face: Any = {
            "rich": lambda: RichFace(Console(file=self.out, width=100, force_terminal=False, highlight=False)),
            "plain": lambda: PlainFace(self.out, self.aside),
            "json": lambda: JsonFace(self.out),
        }[kind]()

    @property
    def text(self) -> str:
        return self.out.getvalue() + self.aside.getvalue()


def everything(face: Any, text: str) -> None:
    face.plan({**PLAN, "title": text, "steps": [{"id": "s", "label": text, "status": "RUNNING", "note": text}]})
    face.question({"question": text}, [("1", text)])
    face.approval({"title": text, "details": {"to": text}, "because": text}, [("y", text)])
    face.notice(text)
    face.error({"text": text, "hint": text, "ref": text})
    face.offers([("/1", text)])
    face.plan({**PLAN, "title": text, "state": "done"})
    face.answer(text, final=True)
    face.files([f"/tmp/{text}"], text)
    face.ended("completed", "r1")
    face.close()


@pytest.mark.parametrize("kind", ["rich", "plain", "json"])
def test_what_a_plan_will_do_is_said_once_under_it(kind: str):
    drawn = Drawn(kind)
    told = "Sends: mail ada (asks first)."
    drawn.face.plan({**PLAN, "state": "done", "foretold": f"{told}\n\x1b[2J"})
    drawn.face.close()
    assert drawn.text.count(told) == 1
    assert "\x1b[2J" not in drawn.text
    if kind == "plain":
        drawn.face.plan({**PLAN, "foretold": f"{told}\n\x1b[2J", "seconds": 44})
        drawn.face.plan({**PLAN, "seconds": 45})
        assert drawn.text.count(told) == 1


@pytest.mark.parametrize("kind", ["rich", "plain", "json"])
def test_nothing_that_a_terminal_would_act_on_gets_through(kind: str):
    drawn = Drawn(kind)
    everything(drawn.face, NASTY)
    assert "safe" in drawn.text
    for control in "\x1b\x07\x9b\r":
        assert control not in drawn.text
    if kind != "json":
        assert "\u202e" not in drawn.text
        assert "\u200b" not in drawn.text


@pytest.mark.parametrize("kind", ["rich", "plain"])
def test_consent_shows_every_argument_and_why_it_is_asked(kind: str):
    drawn = Drawn(kind)
    payload = {
        "title": "mail.send",
        "details": {"to": "a@b.example", "body": "x" * 300},
        "because": "address from mail #3",
    }
    drawn.face.approval(payload, [("y", "Allow"), ("n", "Deny")])
    flat = "".join(line.strip(" │") for line in drawn.text.splitlines())
    assert "a@b.example" in flat
    assert "x" * 300 in flat
    assert "address from mail #3" in flat


def test_a_value_cannot_pose_as_another_argument():
    lines = details_lines({"details": {"to": "x\nBecause: your own message"}, "because": "web:evil.example"})
    assert lines == ["to: x", "    Because: your own message", "Because: web:evil.example"]


def test_plain_puts_the_answer_on_standard_output_and_all_else_aside():
    drawn = Drawn("plain")
    drawn.face.plan(PLAN)
    drawn.face.plan({**PLAN, "state": "done"})
    drawn.face.notice("by the way")
    drawn.face.answer("The answer", final=True)
    drawn.face.files(["/w/a.csv"], "")
    assert drawn.out.getvalue() == "The answer\n/w/a.csv\n"
    assert drawn.aside.getvalue().splitlines() == [
        "✓ Collect",
        "› Compare — reading 2 of 3",
        "done: 1/3 · 0:41 · $0.01",
        "by the way",
    ]


def test_plain_writes_a_step_again_only_when_its_state_changes():
    drawn = Drawn("plain")
    for _ in range(3):
        drawn.face.plan(PLAN)
    assert drawn.aside.getvalue().count("Compare") == 1


def test_plain_names_a_step_that_is_quickly_done_once():
    drawn = Drawn("plain")
    for seconds, status in ((0, "RUNNING"), (1, "RUNNING"), (2, "COMPLETED")):
        step = {"id": "s1", "label": "Collect", "status": status, "note": ""}
        drawn.face.plan({**PLAN, "seconds": seconds, "steps": [step]})
    assert drawn.aside.getvalue() == "✓ Collect\n"


def test_plain_tells_the_steps_of_each_run():
    drawn = Drawn("plain")
    for run in ("a", "b"):
        drawn.face.plan({**PLAN, "run": run})
    assert drawn.aside.getvalue().count("✓ Collect") == 2


def test_an_answer_on_its_way_is_printed_once_by_plain_and_json():
    for kind in ("plain", "json"):
        drawn = Drawn(kind)
        drawn.face.answer("The", final=False)
        drawn.face.answer("The answer", final=True)
        drawn.face.ended("completed", "r")
        assert drawn.text.count("The") == 1


def test_json_tells_a_requests_end_in_one_object():
    drawn = Drawn("json")
    drawn.face.answer("one", final=True)
    drawn.face.files(["/w/a", "/w/b"], "")
    drawn.face.ended("completed", "R1")
    drawn.face.ended("failed", "R2")
    first, second = map(json.loads, drawn.text.splitlines())
    assert first == {"type": "answer", "text": "one", "files": ["/w/a", "/w/b"], "status": "completed", "run": "R1"}
    assert second == {"type": "answer", "text": "", "files": [], "status": "failed", "run": "R2"}


def test_the_drawn_plan_stays_on_the_screen_when_it_is_done():
    drawn = Drawn("rich")
    drawn.face.plan(PLAN)
    assert drawn.text == ""  # it moves; nothing is kept yet
    drawn.face.plan({**PLAN, "state": "done"})
    assert "Compare   1/3 · 0:41 · $0.01" in drawn.text
    assert "✓ 1 Collect" in drawn.text
    assert "› 2 Compare — reading 2 of 3" in drawn.text


@pytest.mark.parametrize("text", ["if a<b and c>d", "Vec<String> is generic", "<think>no</think> yes", "`a<b` stays"])
def test_angle_brackets_of_an_answer_are_not_lost(text: str):
    drawn = Drawn("rich")
    drawn.face.answer(text, final=True)
    assert text.replace("`", "") in drawn.text


def test_links_show_where_they_lead():
    drawn = Drawn("rich")
    drawn.face.answer("see [here](https://example.org/x)", final=True)
    assert "https://example.org/x" in drawn.text


def test_a_long_path_is_not_broken():
    drawn = Drawn("rich")
    drawn.face.files(["/w/" + "x" * 200], "")
    assert "x" * 200 in drawn.text


def test_figures_leave_out_money_that_was_not_spent():
    assert figures({"done": 1, "total": 2, "money": 0}, 5) == "1/2 · 0:05"
    assert clock(3725) == "1:02:05"
    assert clean("a\r\nb\tc") == "a\nb\tc"


@pytest.mark.parametrize("hidden", ["\u00ad", "\u061c", "\u2028", "\u2065", "\U000e0041"])
def test_what_makes_a_text_read_otherwise_is_not_shown(hidden: str):
    assert clean(f"pay{hidden}ada") == "payada"
    out = io.StringIO()
    JsonFace(out).notice(f"pay{hidden}ada")
    assert hidden not in out.getvalue()
    assert json.loads(out.getvalue())["text"] == f"pay{hidden}ada"
