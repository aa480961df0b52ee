"""Passages and lengths of documents."""

from pathlib import Path

import pytest

from plugins.api import ToolFailure
from plugins.documents import count_words, search_document


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (
        "<html><body><h1>Lease</h1><p>The monthly  rent is 1,250 euros.</p><p>Three Rents are kept.</p></body></html>"
    )
    Path("lease.html").write_text(page, encoding="utf-8")


def test_passages_are_found_in_any_case_and_across_blanks():
    assert len(search_document("lease.html", "RENT").value) == 2
    assert "1,250 euros" in search_document("lease.html", "monthly rent").text


def test_a_text_that_is_not_there_is_said():
    assert search_document("lease.html", "garage").text == "lease.html does not mention 'garage'."


def test_an_empty_search_says_how_to_ask():
    with pytest.raises(ToolFailure) as failure:
        search_document("lease.html", "  ")
    assert "find rent" in failure.value.hint


def test_words_lines_and_characters_are_counted():
    Path("three.txt").write_text("one two\nthree", encoding="utf-8")
    assert count_words("three.txt").value == {"words": 3, "lines": 2, "characters": 13}
    assert count_words("three.txt").text == "three.txt has 3 words, 2 lines and 13 characters."
