"""Formatting loses no word: not by the converter, not at the ends of parts, not in what is odd on purpose."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.channels.telegram.formatting import formatted
from agent.channels.telegram.texts import Document, Part, Text, nested, width
from agent.testing.telegram_rules import Refused, check_entities, check_text

MARKS = [
    "**",
    "*",
    "_",
    "__",
    "`",
    "``",
    "~~",
    "||",
    "==",
    "#",
    "###",
    ">",
    "|",
    "[",
    "]",
    ")",
    "(",
    "!",
    "<",
    "</",
    ">",
    "$",
    "$$",
    "\\",
    "&",
    "&amp;",
    "&lt;",
    ":",
    "[^1]",
    "[^1]:",
    "",
    "^",
    "~",
    "<!--",
    "-->",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "{",
    "}",
    "@",
    "😀",
    "漢字",
    "é",
    "👨\u200d👩\u200d👧",
    "<br>",
    "<b>",
    "</b>",
    "<details>",
    "<think>",
    "</think>",
    "\\begin{x}",
    "\\frac{",
    "@me",
    "https://a.b/c_d_e",
    "![",
    "](http://",
    "](tg://emoji?id=5)",
    "-",
    "1.",
    "-",
    "[",
    "]",
    "a<b",
    "c>d",
    "Vec<String>",
    "$HOME:$PATH",
]
BREAKS = ["\n", "\n\n", " ", "  ", "    ", "\t", "\r", "\r\n", "\0", "\u2028", "\u00a0", "\u200d"]
BLOCKS = [
    "```",
    "```py\n",
    "\n```\n",
    "~~~\n",
    "---\n",
    "***\n",
    "===\n",
    "|---|---|\n",
    "- [x] ",
    "| 姓名 | b |\n|---|---|\n",
]


@st.composite
def written(draw):
    """Return Markdown and the words in it: any marks in any order between words that nobody confuses."""
    pieces = draw(st.lists(st.sampled_from([*MARKS, *BREAKS, *BLOCKS]) | st.just(None), max_size=40))
    words = [f"q{at}z" for at, piece in enumerate(pieces) if piece is None]
    return "".join(piece or f"q{at}z" for at, piece in enumerate(pieces)), words


def seen(parts: list[Part]) -> str:
    """Return all that a person can get at: texts, what links lead to, files."""
    texts = [f"{p.text} {p.entities}" if isinstance(p, Text) else p.data.decode() for p in parts]
    return "\n".join(texts)


def assert_taken(parts: list[Part]) -> None:
    for part in parts:
        if isinstance(part, Text):
            assert check_text(part.text) == part.text
            check_entities(part.text, part.entities)
        else:
            assert part.data


@settings(max_examples=600, deadline=None)
@given(written())
@example(("[^1]: q1z", ["q1z"]))
@example(("```q1zq2z", ["q1zq2z"]))
@example(("```py q1z\nx\n```", ["q1z"]))
@example(("[q1z[^1]: |---|---|\nq4z", ["q1z", "q4z"]))
def test_every_word_arrives_in_parts_that_telegram_takes(case):
    markdown, words = case
    parts = formatted(markdown)
    assert_taken(parts)
    assert [word for word in words if word not in seen(parts)] == []


@settings(max_examples=60, deadline=None)
@given(written(), st.integers(20, 120))
def test_every_word_of_a_long_answer_arrives_also_when_it_becomes_a_file(case, times):
    markdown, words = case
    parts = formatted("\n".join([markdown] * times))
    assert_taken(parts)
    assert [word for word in words if word not in seen(parts)] == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["**b{}** ", "w{} ", "`c{}` ", "漢{} ", "😀{} ", "_i{}_ ", "l{}\n", "x{}" + "y" * 300 + " "]),
        min_size=5,
    )
)
def test_parts_together_hold_each_word_once_and_in_order(pieces):
    numbered = [piece.format(f"q{at}z") for at, piece in enumerate(pieces)]
    parts = formatted("".join(numbered * (1 + 3000 // (1 + sum(map(len, numbered))))))
    assert_taken(parts)
    if not any(isinstance(part, Document) for part in parts):
        once = [f"q{at}z" for at in range(len(pieces))]
        text = "\n".join(part.text for part in parts)
        found = [word for word in _numbers(text) if word]
        assert found == once * (len(found) // len(once))
        assert len(found) >= len(once)


def _numbers(text: str) -> list[str]:
    import re

    return re.findall(r"q\d+z", text)


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("See [^1].\n\n[^1]: The **note**.", "See [^1].\n\n[^1]: The note."),
        ("```sh run me", "run me"),
        ("- [x] done\n- [ ] open", "✅ done\n☐ open"),
        ("[unused]: http://a.b/c", "[unused]: http://a.b/c"),
        ("a\r\nb\rc", "a\nb\nc"),
    ],
)
def test_what_looked_like_a_mark_stays(markdown, text):
    assert formatted(markdown)[0].text == text


def test_a_link_whose_address_stands_elsewhere_is_still_a_link():
    (part,) = formatted("see [the page][p]\n\n[p]: http://a.b/c")
    assert part.text == "see the page"
    assert part.entities[0]["url"] == "http://a.b/c"


def test_mathematics_stays_drawn():
    assert "½α" in formatted("The area is \\(x = \\frac{1}{2}\\alpha\\)")[0].text


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=12))
def test_marks_that_cross_are_cut_and_cover_what_they_covered(spans):
    marks = [{"type": f"t{at}", "offset": start, "length": length} for at, (start, length) in enumerate(spans)]
    cut = nested(marks)
    for one in cut:
        for other in cut:
            assert (
                not one["offset"] < other["offset"] < one["offset"] + one["length"] < other["offset"] + other["length"]
            )

    def covered(entities):
        return {
            (mark["type"], at) for mark in entities for at in range(mark["offset"], mark["offset"] + mark["length"])
        }

    assert covered(cut) == covered(marks)


@pytest.mark.parametrize(
    "entities",
    [
        [{"type": "bold", "offset": 1, "length": 1}],
        [{"type": "bold", "offset": 0, "length": 1}],
        [{"type": "bold", "offset": 0, "length": 3}, {"type": "italic", "offset": 2, "length": 2}],
        [{"type": "bold", "offset": 0, "length": 9}],
    ],
)
def test_the_strict_server_refuses_ends_inside_a_character_and_marks_that_cross(entities):
    assert width("😀abcd") == 6
    with pytest.raises(Refused):
        check_entities("😀abcd", entities)
