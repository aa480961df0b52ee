"""Charts and reports are real files whose numbers are those of the data."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from plugins.api import ToolFailure
from plugins.data import chart, drawing, look, report

MONTHS = "\n".join(
    f"2024-{month:02}-{day:02},{month * 10},{'AB'[day % 2]}" for month in range(1, 13) for day in range(1, 29)
)


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sales.csv").write_text(f"date,revenue,region\n{MONTHS}\n", encoding="utf-8")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, drawing.Picture]]:
    """Record which kind of chart is drawn, and of what."""
    seen: list[tuple[str, drawing.Picture]] = []

    def watch(name: str, draw: Callable[..., None]) -> Callable[..., None]:
        def recording(axes: object, picture: drawing.Picture) -> None:
            seen.append((name, picture))
            draw(axes, picture)

        return recording

    for name in ("columns", "bars", "line", "pie"):
        monkeypatch.setattr(drawing, name, watch(name, getattr(drawing, name)))
    return seen


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("kind", ["auto", "line", "bar", "pie", "scatter", "hist", "box"])
def test_every_kind_is_a_picture_of_one_size(kind: str) -> None:
    Path("n.csv").write_text("weight,height\n" + "\n".join(f"{n},{n * 2 % 37}" for n in range(90)), encoding="utf-8")
    answer = chart("n.csv", "height", "weight", kind=kind)  # type: ignore[arg-type]
    assert size(answer.files[0]) == (1280, 800)
    assert answer.value["path"] == answer.files[0]


def test_few_months_are_columns_and_many_are_a_line(drawn: list[tuple[str, drawing.Picture]]) -> None:
    chart("sales.csv", "revenue", "month")
    chart("sales.csv", "revenue", "week")
    chart("sales.csv", "revenue", "region")
    assert [kind for kind, _ in drawn] == ["columns", "line", "bars"]
    assert drawn[0][1].lines[0].values == tuple(280 * month for month in range(1, 13))


def test_a_line_for_each_value_of_a_series(drawn: list[tuple[str, drawing.Picture]]) -> None:
    answer = chart("sales.csv", "revenue", "month", series="region", kind="line")
    assert [line.name for line in drawn[0][1].lines] == ["B", "A"] or [line.name for line in drawn[0][1].lines] == [
        "A",
        "B",
    ]
    assert answer.value["series"]["A"] == [140 * month for month in range(1, 13)]
    assert answer.files == ("revenue-by-month-by-region.png",)


def test_months_without_rows_have_their_place(drawn: list[tuple[str, drawing.Picture]]) -> None:
    Path("gap.csv").write_text("date,x\n2024-01-01,5\n2024-04-01,7\n", encoding="utf-8")
    answer = chart("gap.csv", "x", "month")
    assert drawn[0][1].lines[0].values == (5, 0, 0, 7)
    assert "There are no rows for February 2024 and 1 more." in answer.text


def test_many_categories_keep_the_largest_and_say_so(drawn: list[tuple[str, drawing.Picture]]) -> None:
    Path("many.csv").write_text(
        "who,x\n" + "\n".join(f"w{n},{1000 if n < 30 else 1}" for n in range(60)), encoding="utf-8"
    )
    answer = chart("many.csv", "x", "who")
    assert len(drawn[0][1].labels) == 19
    assert "top 19 of 60; the others add up to 11,030" in answer.text
    chart("many.csv", "x", "who", kind="pie")
    assert drawn[1][1].labels[-1] == "Other (54)"
    assert sum(value or 0 for value in drawn[1][1].lines[0].values) == 30_030


def test_the_numbers_behind_the_chart_are_its_value() -> None:
    answer = chart("sales.csv", "revenue", "quarter", path="pictures/q")
    assert answer.files == ("pictures/q.png",)
    assert [row["value"] for row in answer.value["rows"]] == [1680, 4200, 6720, 9240]
    assert "Highest: Q4 2024 (9,240); lowest: Q1 2024 (1,680)." in answer.text


@pytest.mark.parametrize("word", ["$100 & $200", "日本語", "a\nb", "x" * 200, "<b>", "_{^", "عربي", "🎉"])
def test_any_name_can_be_drawn(word: str) -> None:
    Path("w.csv").write_text(f'who,x\n"{word}",1\nother,2\n', encoding="utf-8")
    assert size(chart("w.csv", "x", "who", title=word).files[0]) == (1280, 800)


@pytest.mark.parametrize("values", ["5", "0\n0\n0", "-3\n-4", "1e15\n2e15", "0.00001\n0.00002", "5\n5\n5"])
@pytest.mark.parametrize("kind", ["line", "bar", "hist"])
def test_any_numbers_can_be_drawn(values: str, kind: str) -> None:
    lines = [f"2024-01-{day:02},{value}" for day, value in enumerate(values.splitlines(), 1)]
    Path("v.csv").write_text("day,x\n" + "\n".join(lines), encoding="utf-8")
    assert size(chart("v.csv", "x", "day", kind=kind).files[0]) == (1280, 800)  # type: ignore[arg-type]


def test_a_pie_of_negative_numbers_is_refused() -> None:
    Path("n.csv").write_text("who,x\na,1\nb,-2\n", encoding="utf-8")
    with pytest.raises(ToolFailure, match="A pie shows parts of a whole"):
        chart("n.csv", "x", "who", kind="pie")


@pytest.mark.parametrize("path", ["../x.png", "x.exe", "sales.csv"])
def test_a_chart_never_goes_outside_or_over_the_data(path: str) -> None:
    before = Path("sales.csv").read_bytes()
    with pytest.raises(ToolFailure):
        chart("sales.csv", "revenue", "month", path=path)
    assert Path("sales.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"), (950, "", "950"), (1234, "", "1,234"), (12_345, "", "12.3k"), (999_999, "€", "€1M"), (8_558_123, "€", "€8.56M"),
        (-2_500_000_000, "$", "−$2.5B"), (0.1234, "", "0.123"), (12.5, "%", "12.5 %"), (99.996, "", "100"),
    ],
)  # fmt: skip
def test_numbers_on_axes_are_short(value: float, unit: str, text: str) -> None:
    assert look.short(value, unit) == text


MARKDOWN = """## Überblick

Revenue **grew** by *8 %* in `2024`, see [the site](https://example.org).

![the chart](revenue-by-month.png)

- one
- two
  1. nested

> quoted

| month | revenue |
|---|---|
| January | €1,234.50 |

```
code
```
"""


def test_a_report_as_pdf_holds_text_tables_and_pictures() -> None:
    from pypdf import PdfReader

    chart("sales.csv", "revenue", "month")
    answer = report("Sales in 2024", MARKDOWN, ["sales.csv"])
    assert answer.files == ("sales-in-2024.pdf",)
    reader = PdfReader(answer.files[0])
    text = "\n".join(page.extract_text() for page in reader.pages)
    for words in ("Sales in 2024", "Überblick", "grew", "€1,234.50", "nested", "code", "2024-01-01"):
        assert words in text
    assert len(reader.pages[0].images) == 1
    assert "** " not in text


def test_a_report_as_html_needs_nothing_beside_it() -> None:
    chart("sales.csv", "revenue", "month")
    answer = report("Sales <2024>", MARKDOWN + "\n<script>alert(1)</script>", format="html")
    page = Path(answer.files[0]).read_text(encoding="utf-8")
    assert "<h1>Sales &lt;2024&gt;</h1>" in page
    assert 'src="data:image/png;base64,' in page
    assert '<td class="number">€1,234.50</td>' in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("kind", ["pdf", "html"])
def test_a_picture_that_is_not_there_is_said(kind: str) -> None:
    answer = report("R", "Look: ![x](gone.png) and ![y](../secret.png)", format=kind)  # type: ignore[arg-type]
    assert "The picture 'gone.png' is not in the workspace" in answer.text
    assert "'../secret.png'" in answer.text


def test_pictures_that_are_given_are_put_in_once() -> None:
    from pypdf import PdfReader

    chart("sales.csv", "revenue", "month")
    answer = report("R", "![a](revenue-by-month.png)", ["revenue-by-month.png"])
    assert sum(len(page.images) for page in PdfReader(answer.files[0]).pages) == 1
    alone = report("S", "", ["revenue-by-month.png"])
    assert sum(len(page.images) for page in PdfReader(alone.files[0]).pages) == 1


def test_letters_that_no_font_has_are_named() -> None:
    answer = report("R", "Party 🎉 time")
    assert "1 character can't be shown by the fonts here: 🎉" in answer.text


def test_a_long_report_has_many_pages_and_wide_tables_fit() -> None:
    head = "|".join(f"column {n}" for n in range(14))
    wide = f"|{head}|\n|{'---|' * 14}\n" + "\n".join(f"|{'|'.join(['12345'] * 14)}|" for _ in range(60))
    answer = report("Long", "\n\n".join(f"# Part {n}\n\n{'words ' * 300}" for n in range(10)) + "\n\n" + wide)
    assert int(answer.text.rpartition("(")[2].split()[0]) > 5


def test_an_empty_report_or_an_unknown_file_is_refused() -> None:
    with pytest.raises(ToolFailure, match="would be empty"):
        report("R", " ")
    Path("a.zip").write_bytes(b"x")
    with pytest.raises(ToolFailure, match=r"'a\.zip' can't be put into a report"):
        report("R", "", ["a.zip"])
    with pytest.raises(ToolFailure, match="outside the workspace"):
        report("R", "text", path="../r.pdf")
