"""Rows of a data file: filtered, sorted, the first, and saved."""

import csv
import json
from pathlib import Path

import pytest

from plugins.api import ToolFailure
from plugins.data import report, show_rows


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        "day;shop;takings;customers",
        "23.01.2026;Köln;1.200,50;3",
        "21.01.2026;Bonn;99,00;12",
        "22.01.2026;Köln;;7",
    ]
    Path("shop.csv").write_text("\n".join(lines), encoding="utf-8")


def column(output, name):
    return [row[name] for row in output.value["rows"]]


def test_numbers_and_dates_are_sorted_as_such_and_blank_cells_come_last():
    assert column(show_rows("shop.csv", sort="takings"), "takings") == [99, 1200.5, None]
    assert column(show_rows("shop.csv", sort="takings", order="descending"), "takings") == [1200.5, 99, None]
    assert column(show_rows("shop.csv", sort="customers"), "customers") == [3, 7, 12]
    assert column(show_rows("shop.csv", sort="day"), "day") == ["2026-01-21", "2026-01-22", "2026-01-23"]


def test_rows_are_filtered_counted_and_cut():
    found = show_rows("shop.csv", where="shop = Köln", sort="customers", order="descending", first=1)
    assert found.value["count"] == 2
    assert column(found, "customers") == [7]
    assert "2 rows of 3 in shop.csv where shop = Köln" in found.text
    assert "the first 1 is" in found.text


def test_saved_rows_hold_numbers_and_leave_the_file_as_it_was():
    before = Path("shop.csv").read_bytes()
    found = show_rows("shop.csv", where="customers > 5", save="many.csv")
    assert found.files == ("many.csv",)
    with Path("many.csv").open(encoding="utf-8-sig") as file:
        assert [row["takings"] for row in csv.DictReader(file)] == ["99.0", ""]
    show_rows("shop.csv", save="all.json")
    assert len(json.loads(Path("all.json").read_text(encoding="utf-8"))) == 3
    assert Path("shop.csv").read_bytes() == before


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ToolFailure, match="colour") as failure:
        show_rows("shop.csv", sort="colour")
    assert "takings" in f"{failure.value.message} {failure.value.hint}"


def test_a_report_without_a_title_is_called_after_its_heading_or_its_file():
    Path("notes.md").write_text("# Meeting *notes*\n\ntext", encoding="utf-8")
    assert report(text="notes.md", format="html").value["path"] == "meeting-notes.html"
    assert report(files=["shop.csv"], format="html").value["path"] == "shop.html"
    assert "text" in Path("meeting-notes.html").read_text(encoding="utf-8")
