"""Markdown as models write it, made into what Telegram accepts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.channels.telegram.formatting import formatted, preview
from agent.channels.telegram.texts import Document, Text, Writer, cut, width
from agent.testing.telegram_rules import check_entities, check_text

MARKDOWN = st.lists(
    st.sampled_from(
        [
            "**",
            "_",
            "`",
            "```",
            "~~",
            "||",
            "\n",
            "\n\n",
            "- ",
            "1. ",
            "# ",
            "> ",
            "| a | b |\n|---|---|\n| 1 | 2 |\n",
            "[x](http://y.z)",
            "<b>",
            "$x$",
            "$HOME",
            "a",
            "wörter ",
            "😀",
            "漢字",
            "\\",
            "&lt;",
            "  ",
            "\t",
            "![i](u)",
            "* ",
        ]
    )
    | st.text(max_size=5),
    max_size=60,
).map("".join)


def whole(markdown):
    return "\n".join(part.text for part in formatted(markdown) if isinstance(part, Text))


def kinds(markdown):
    part = formatted(markdown)[0]
    return {
        (
            e["type"],
            part.text.encode("utf-16-le")[e["offset"] * 2 : (e["offset"] + e["length"]) * 2].decode("utf-16-le"),
        )
        for e in part.entities
    }


@pytest.mark.parametrize(
    "text",
    ["a<b and c>d", "Vec<String>", "<think>hm</think>", "PATH=$HOME:$PATH", "costs $5 or $6", "a &amp b", "x < 3 > y"],
)
def test_what_the_converter_would_eat_is_kept(text):
    assert whole(text) == text


def test_code_keeps_its_brackets_and_dollars():
    assert ("code", "Vec<$T>") in kinds("use `Vec<$T>` here")
    assert ("pre", "if a < b: $x") in kinds("```py\nif a < b: $x\n```")


def test_links_keep_their_dollars():
    part = formatted("[x](http://y.z/?a=$1)")[0]
    assert part.entities[0]["url"] == "http://y.z/?a=$1"


def test_bold_and_links_become_entities():
    assert {("bold", "Hi"), ("text_link", "there")} <= kinds("**Hi** [there](https://example.org)")


def test_a_fence_in_a_list_starts_on_its_own_line():
    assert whole("- first\n  ```py\n  x = 1\n  ```\n- second").splitlines() == ["• first", "x = 1", "• second"]


def test_a_narrow_table_is_aligned_by_display_width():
    text = whole("| 名前 | n |\n|---|---|\n| 田中太郎 | 1 |\n| Ada | 22 |")
    assert text.splitlines() == ["名前     | n", "---------+---", "田中太郎 | 1", "Ada      | 22"]


def test_a_wide_table_is_a_csv_file():
    row = "| " + " | ".join(["x" * 20] * 4) + " |"
    parts = formatted(f"Before\n\n{row}\n{'|---' * 4}|\n{row}\n\nAfter")
    assert isinstance(parts[-1], Document)
    assert parts[-1].name == "table-1.csv"
    assert parts[-1].data.decode("utf-8-sig").splitlines() == [",".join(["x" * 20] * 4)] * 2
    assert parts[0].text.startswith("Before")
    assert parts[0].text.endswith("After")


def test_a_table_inside_a_fence_is_left_alone():
    assert "| a | b |" in whole("```\n| a | b |\n|---|---|\n```")


def test_more_than_a_hundred_entities_become_several_parts():
    parts = formatted("\n".join(f"**b{n}** and" for n in range(250)))
    assert len(parts) == 3
    assert sum(len(part.entities) for part in parts) == 250


def test_nothing_still_says_something():
    assert [part.text for part in formatted("")] == ["(no text)"]
    assert [part.text for part in formatted("   \n")] == ["(no text)"]


@pytest.mark.parametrize("text", ["", "a", "yes", "one two", "x" * 500, "😀" * 100])
def test_a_preview_is_never_the_whole(text):
    assert preview(text).text != text.strip()
    assert preview(text).text.endswith("…")
    assert preview(text).text.strip()


@settings(max_examples=400, deadline=None)
@given(MARKDOWN)
def test_whatever_a_model_writes_telegram_takes(markdown):
    for part in formatted(markdown):
        if isinstance(part, Text):
            assert check_text(part.text) == part.text
            check_entities(part.text, part.entities)


@settings(max_examples=60, deadline=None)
@given(MARKDOWN, st.integers(20, 200))
def test_long_texts_fit_too(markdown, times):
    for part in formatted((markdown + "\n") * times):
        if isinstance(part, Text):
            assert check_text(part.text) == part.text
            check_entities(part.text, part.entities)


@given(st.text(alphabet="aé😀 ", max_size=60), st.integers(5, 40))
def test_a_cut_text_fits_and_shows_that_it_is_cut(text, units):
    short = cut(text, units)
    assert width(short) <= units
    assert short == text or short.endswith("…")


@given(st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["bold", "italic", "code"])), max_size=8))
def test_a_writers_entities_are_in_bounds(pieces):
    writer = Writer()
    for text, kind in pieces:
        writer.line(text, kind)
    built = writer.build()
    assert check_text(built.text) == built.text
    check_entities(built.text, built.entities)
