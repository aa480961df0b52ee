"""Words that change a plan without a model."""

from __future__ import annotations

import pytest

from agent.planning.changes import Change, Drop, Instead, StopAfter, read_change, with_instead
from agent.testing import step


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("drop 3", Drop((3,))),
        ("Please skip step 2.", Drop((2,))),
        ("remove steps 2, 4 and 6", Drop((2, 4, 6))),
        ("skip 2-4", Drop((2, 3, 4))),
        ("leave out step 5", Drop((5,))),
        ("Lass Schritt 3 weg", Drop((3,))),
        ("überspringe 2 und 3", Drop((2, 3))),
        ("saute l'étape 2", Drop((2,))),
        ("пропусти шаг 3", Drop((3,))),
        ("跳过第3步", Drop((3,))),
        ("stop after 4", StopAfter(4)),
        ("only up to step 2", StopAfter(2)),
        ("hör nach Schritt 2 auf", StopAfter(2)),
        ("做完第2步就停", StopAfter(2)),
        ("use other.csv instead of sales.csv", Instead("sales.csv", "other.csv")),
        ("replace “sales.csv” with other.csv", Instead("sales.csv", "other.csv")),
        ("nimm b.csv statt a.csv", Instead("a.csv", "b.csv")),
        ("возьми b.csv вместо a.csv", Instead("a.csv", "b.csv")),
        ("用b.csv代替a.csv", Instead("a.csv", "b.csv")),
    ],
)
def test_a_form_is_read_in_each_language(words: str, change: Change):
    assert read_change(words) == change


@pytest.mark.parametrize(
    "words",
    ["also include 2024", "drop everything", "skip", "use a instead of a", "what is 3?", "", "drop 3 " + "x" * 500],
)
def test_other_words_are_no_form(words: str):
    assert read_change(words) is None


def test_what_needs_a_changed_step_follows_it():
    plan = [
        step("s1", "read_file", path="sales.csv"),
        step("s2", "now"),
        step("s3", "echo", text="{{ s1.output }}", after=("s1",)),
    ]
    made = with_instead(plan, Instead("sales.csv", "other.csv"), {"s1", "s2", "s3", "s1_2"})
    assert [old for old, _ in made] == ["s1", "s3"]
    first, second = (new for _, new in made)
    assert (first.id, first.args) == ("s1_3", {"path": "other.csv"})
    assert (second.args, second.depends_on) == ({"text": "{{ s1_3.output }}"}, ("s1_3",))
