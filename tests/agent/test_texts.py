"""What Dirigent says in other languages: the catalogues are whole, and say what the English does."""

from __future__ import annotations

import pytest

from agent.texts import known, say, say_n


@pytest.mark.parametrize(
    ("code", "language"),
    [("de", "de"), ("de-AT", "de"), ("zh-hans", "zh"), ("zh_TW", "zh"), ("pt-BR", "en"), ("", "en"), ("RU", "ru")],
)
def test_a_language_code_names_one_of_ours_or_english(code: str, language: str):
    assert known(code) == language


def test_a_sentence_that_a_language_lacks_is_said_in_english_with_its_values():
    assert say("de", "There is no such {thing} anywhere.", thing="{x}") == "There is no such {x} anywhere."


def test_braces_in_a_sentence_without_values_are_left_alone():
    assert say("fr", "a {b} c") == "a {b} c"


def test_a_number_chooses_the_form():
    assert say_n("en", "{n} file of {who}", "{n} files of {who}", 1, who="Ada") == "1 file of Ada"
    assert say_n("en", "{n} file of {who}", "{n} files of {who}", 3, who="Ada") == "3 files of Ada"
