"""Numbers, dates and files as people write them are read right, and what is assumed is said."""

# ruff: noqa: DTZ001  # dates are wall-clock, as written

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.api import ToolFailure
from plugins.data import dates, numbers, tables
from plugins.data.files import load


@pytest.fixture
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(amount: Decimal, thousands: str, decimal: str, before: str, after: str) -> str:
    text = f"{abs(amount):,.2f}".translate(str.maketrans({",": thousands, ".": decimal}))
    return f"{'-' if amount < 0 else ''}{before}{text}{after}"


money = st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False, allow_infinity=False)
styles = st.sampled_from([
    (",", ".", "", ""), (".", ",", "", ""), ("\u00a0", ",", "", " €"), ("'", ".", "CHF ", ""), (",", ".", "$", ""),
    (".", ",", "€ ", ""), ("", ",", "", ""), ("", ".", "", " USD"), ("\u202f", ",", "", "\u00a0€"),
])  # fmt: skip


@given(st.lists(money, min_size=1, max_size=40), styles)
def test_money_in_every_style_is_read_to_the_cent(amounts: list[Decimal], style: tuple[str, str, str, str]) -> None:
    cells = [shown(amount, *style) for amount in amounts]
    found = numbers.read(cells).found
    assert [pair and pair[0] for pair in found] == [float(amount) for amount in amounts]


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30))
def test_whole_numbers_with_dots_between_thousands_are_whole(values: list[int]) -> None:
    cells = [f"{value:,}".replace(",", ".") for value in [*values, 12, 1_234_567]]
    assert [pair and pair[0] for pair in numbers.read(cells).found] == [*values, 12, 1_234_567]


@given(st.text(max_size=30))
def test_no_text_breaks_the_readers(text: str) -> None:
    found = numbers.read([text]).found[0]
    assert found is None or isinstance(found[0], float)
    part = dates.parse(text)
    assert part is None or isinstance(part, dates.Moment | dates.Unsure)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("(12.50)", -12.5), ("(20,00) €", -20), ("12,50-", -12.5), ("1.2k", 1200), ("3M", 3_000_000), ("$1.5M", 1_500_000),
        ("19 %", 19), ("−5", -5), ("1e3", 1000), ("+7", 7), (".5", 0.5), ("1,23,456.70", 123456.7), ("１２", 12),
    ],
)  # fmt: skip
def test_odd_spellings_of_numbers_are_read(cell: str, value: float) -> None:
    assert numbers.read([cell]).found[0] is not None
    assert numbers.read([cell]).found[0][0] == value  # type: ignore[index]


@pytest.mark.parametrize(
    "cell", ["", "n/a", "-", "abc", "A12", "12 34 56", "030 1234", "00123", "1.2.3", "12 Main St", "5 parsecs"]
)
def test_what_is_no_number_is_none(cell: str) -> None:
    assert numbers.read([cell]).found == (None,)


def test_a_lone_separator_is_decided_by_the_whole_column() -> None:
    assert [pair and pair[0] for pair in numbers.read(["1.234", "2.5"]).found] == [1.234, 2.5]
    assert [pair and pair[0] for pair in numbers.read(["1.234", "950", "12"]).found] == [1234, 950, 12]
    assert [pair and pair[0] for pair in numbers.read(["1,234", "5,678"]).found] == [1234, 5678]
    assert "between thousands" in numbers.read(["1,234", "5,678"]).style.note
    assert [pair and pair[0] for pair in numbers.read(["1,234"], comma_likely=True).found] == [1.234]


days = st.dates(dt.date(1970, 1, 1), dt.date(2049, 12, 31))
formats = st.sampled_from(
    [
        "%Y-%m-%d",
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d %B %Y",
        "%B %d, %Y",
        "%d-%b-%Y",
        "%Y%m%d",
        "%Y/%m/%d",
        "%d.%m.%y",
    ]
)


@given(st.lists(days, max_size=30), formats)
def test_dates_in_every_form_are_read_to_the_day(written: list[dt.date], form: str) -> None:
    known = [dt.date(2024, 7, 31), dt.date(2024, 12, 25), *written]  # days beyond 12 settle the order of day and month
    found = dates.read([day.strftime(form) for day in known]).found
    assert [moment and moment.at.date() for moment in found] == known


@pytest.mark.parametrize(
    ("cell", "key", "precision"),
    [
        ("2024-03", "2024-03-01", "month"), ("03/2024", "2024-03-01", "month"), ("Mär 2024", "2024-03-01", "month"),
        ("Mar-24", "2024-03-01", "month"), ("2024-Q2", "2024-04-01", "quarter"), ("Q2 2024", "2024-04-01", "quarter"),
        ("2024-W05", "2024-01-29", "week"), ("Sunday, 3. März 2024", "2024-03-03", "day"), ("1er février 2024", "2024-02-01", "day"),
        ("2024-03-31T23:30:00+02:00", "2024-03-31", "time"), ("2024-03-31 23:30:00.123Z", "2024-03-31", "time"),
    ],
)  # fmt: skip
def test_other_forms_of_dates_are_read(cell: str, key: str, precision: str) -> None:
    moment = dates.parse(cell)
    assert isinstance(moment, dates.Moment)
    assert (moment.at.date().isoformat(), moment.precision) == (key, precision)


def test_afternoons_are_read_with_their_hour() -> None:
    found = dates.read(["12/31/2024 2:05 PM", "12/31/2024 12:05 AM"]).found
    assert [moment and moment.at.hour for moment in found] == [14, 0]


@pytest.mark.parametrize(
    "cell", ["1500.5", "3.14", "12345", "2024", "hello", "32.13.2024", "99/99/9999", "1.2.3.4", "May", "12:30", "10-20"]
)
def test_what_is_no_date_is_none(cell: str) -> None:
    assert dates.read([cell]).found == (None,)


def test_the_order_of_day_and_month_comes_from_the_data() -> None:
    assert dates.read(["05/03/2024", "25/03/2024"]).found[0] == dates.Moment(dt.datetime(2024, 3, 5))
    assert dates.read(["05/03/2024", "03/25/2024"]).found[0] == dates.Moment(dt.datetime(2024, 5, 3))
    firsts = dates.read([f"01/{month:02}/2024" for month in range(1, 13)])
    assert [moment and moment.at.month for moment in firsts.found] == list(range(1, 13))
    unclear = dates.read(["02/01/2024", "05/09/2024", "03/02/2024"])
    assert unclear.note == "'02/01/2024' was read as 1 February 2024"


def test_unix_seconds_and_excel_days_are_dates_where_the_name_says_so() -> None:
    assert dates.read(["1704067200"], name="created_at").found[0] == dates.Moment(dt.datetime(2024, 1, 1), "time")
    assert dates.read(["45292"], name="Order Date").found[0] == dates.Moment(dt.datetime(2024, 1, 1), "time")
    assert dates.read(["45292"], name="amount").found == (None,)


def test_bad_cells_are_counted_and_kept_to_show() -> None:
    column = tables.read("price", ["1", "2", "", "oops", "3", "oops", "n/a", "4", "5"])
    assert (column.kind, column.blank, column.bad, column.bad_sample) == ("number", 2, 2, "oops")


def test_codes_with_leading_zeros_stay_text() -> None:
    assert tables.read("zip", ["01234", "10115", "04109", "00501"]).kind == "text"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.usefixtures("_workspace")
def test_text_tables_are_read_in_every_dialect(delimiter: str, encoding: str) -> None:
    lines = [["Größe", "Ort"], ["1", "Köln"], ["2", '"Sankt; Goar, am\nRhein|\t"'], ["3", "Ulm"]]
    Path("a.csv").write_bytes("\r\n".join(delimiter.join(line) for line in lines).encode(encoding))
    sheet = load("a.csv")
    assert sheet.names == ["Größe", "Ort"]
    assert sheet.columns[0] == ["1", "2", "3"]
    assert sheet.columns[1][0] == "Köln"
    assert sheet.columns[1][1].startswith("Sankt; Goar, am")


@pytest.mark.usefixtures("_workspace")
def test_decimal_commas_do_not_split_a_file_with_semicolons() -> None:
    Path("a.csv").write_text("2024-01-01;12,50\n2024-01-09;1,00\n2024-02-03;99,99\n")
    sheet = load("a.csv")
    assert sheet.columns == [["2024-01-01", "2024-01-09", "2024-02-03"], ["12,50", "1,00", "99,99"]]
    assert sheet.names == ["column_1", "column_2"]
    assert "no header line" in sheet.notes[0]


@pytest.mark.usefixtures("_workspace")
def test_titles_totals_ragged_rows_and_double_names_are_dealt_with_and_said() -> None:
    Path("a.csv").write_text("Report 2024\n\nname,name,,x\na,b,c,1\nd,e,f,2,9\ng\nh,i,j,3\nTotal,,,6\n")
    sheet = load("a.csv")
    assert sheet.names == ["name", "name_2", "column_3", "x"]
    assert sheet.columns[3] == ["1", "2", "", "3"]
    assert [note.split(" ", 1)[1] for note in sheet.notes] == [
        "line above the table's header was skipped.",
        "row had more cells than the header; the surplus was left out.",
        "closing total line was left out.",
    ]


@pytest.mark.usefixtures("_workspace")
def test_a_workbook_keeps_types_and_names_its_other_sheets() -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Jan"
    for row in (["day", "sum"], [dt.datetime(2024, 1, 5), 3], [dt.datetime(2024, 1, 6), 2.5]):
        book.active.append(row)
    book.create_sheet("Feb").append(["other"])
    book.save("a.xlsx")
    table = tables.open_table("A.XLSX")
    assert [column.kind for column in table.all()] == ["date", "number"]
    assert "The sheet 'Jan' was read; there is also 'Feb'." in table.notes
    assert load("a.xlsx", "feb").names == ["other"]
    with pytest.raises(ToolFailure, match="no sheet 'Mar'"):
        load("a.xlsx", "Mar")


@pytest.mark.usefixtures("_workspace")
def test_json_lines_lists_and_nested_objects_are_tables() -> None:
    Path("a.jsonl").write_text('{"a": 1, "b": {"c": true}}\nrubbish\n{"a": 2, "d": [1]}\n')
    sheet = load("a.jsonl")
    assert sheet.names == ["a", "b.c", "d"]
    assert sheet.columns == [[1, 2], ["yes", None], [None, "[1]"]]
    assert sheet.notes == ["1 line that is no JSON object was left out."]
    Path("b.json").write_text('{"status": "ok", "items": [{"a": 1}, {"a": 2}]}')
    assert load("b.json").columns == [[1, 2]]


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.xls", "a.ods", "a.json", "a.jsonl", "a.parquet"])
@pytest.mark.usefixtures("_workspace")
def test_rubbish_of_every_name_is_refused_with_a_sentence(name: str) -> None:
    Path(name).write_bytes(random.Random(5).randbytes(3000) + b"\x00")
    with pytest.raises(ToolFailure) as refused:
        load(name)
    assert name in refused.value.message
    Path(name).write_bytes(b"")
    with pytest.raises(ToolFailure, match="is empty"):
        load(name)


@pytest.mark.usefixtures("_workspace")
def test_files_that_are_not_there_name_those_that_are() -> None:
    Path("sales.csv").write_text("a\n1\n")
    assert load("SALES").names == ["a"]
    with pytest.raises(ToolFailure) as missing:
        load("other.csv")
    assert "sales.csv" in missing.value.hint
    with pytest.raises(ToolFailure, match="outside the workspace"):
        load("../secret.csv")
