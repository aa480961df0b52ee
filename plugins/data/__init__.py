"""Tables and charts: look into data files, count, compare, chart, query with SQL, and write reports."""

from __future__ import annotations

from typing import Annotated, Literal

from plugins.api import File, Output, Pattern, Plugin, tool

plugin = Plugin(name="data", summary="Understand and chart tables (CSV, Excel, JSON, Parquet) and write reports.")

TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".xlsm", ".ods", ".json", ".jsonl", ".ndjson", ".parquet")
TableFile = Annotated[str, File(*TABLES)]
SELECT = r"(?s:(?:select|with|from)\b.+)"
How = Literal["sum", "average", "median", "count", "distinct", "min", "max"]


@tool(
    effect="pure",
    data=True,
    produces=("text", "table"),
    examples=(
        "describe {file}",
        "read {file}",
        "open {file}",
        "show {file}",
        "how many rows are there in {file}",
        "how many rows",
        "what is in {file}",
        "what's in {file}",
        "which columns does {file} have",
        "what columns are in {file}",
        "how many rows are in {file}",
        "how many rows does {file} have",
        "how many rows has {file}",
        "how many records are in {file}",
        "show me {file}",
        "look at {file}",
        "give me an overview of {file}",
        "summarise the data in {file}",
        "summarize the data in {file}",
        "explain the columns of {file}",
        "check {file} for missing values",
        "was ist in {file}",
        "beschreibe {file}",
        "wie viele Zeilen hat {file}",
        "que contient {file}",
        "décris {file}",
    ),
)
def describe(file: TableFile, sheet: str = "") -> Output:
    """Say what a data file holds: rows, columns, types, ranges, missing values, examples."""
    from plugins.data import overview

    return overview.describe(file, sheet)


@tool(
    effect="write_inside",
    data=True,
    produces=("table", "text"),
    examples=(
        "show the first {first} rows of {file}",
        "first {first} rows of {file}",
        "the first {first} lines of {file}",
        "show {first} rows of {file}",
        "show the rows of {file}",
        "show rows of {file} where {where}",
        "show all rows of {file} where {where}",
        "list the rows of {file} where {where}",
        "find rows in {file} where {where}",
        "which rows of {file} have {where}",
        "how many rows of {file} have {where}",
        "how many rows in {file} have {where}",
        "filter {file} where {where}",
        "filter {file} by {where}",
        "filter {file} for {where}",
        "filter rows where {where}",
        "{file} only where {where}",
        "sort {file} by {sort}",
        "sort {file} by {sort} {order}",
        "sort by {sort} {order}",
        "sort by {sort}",
        "order {file} by {sort}",
        "sortiere {file} nach {sort}",
        "zeige die ersten {first} Zeilen von {file}",
        "filtere {file} nach {where}",
        "trie {file} par {sort}",
        "montre les {first} premières lignes de {file}",
    ),
)
def show_rows(
    file: TableFile,
    *,
    where: str = "",
    sort: str = "",
    order: Literal["ascending", "descending"] = "ascending",
    first: int = 0,
    save: str = "",
    sheet: str = "",
) -> Output:
    """Show rows of a data file: those that fulfil `where` (like "region = North and units > 5"), sorted, the `first`.

    `save` writes all of them as .csv, .xlsx, .json or .parquet; the file itself stays as it is.
    """
    from plugins.data import listing

    return listing.show(listing.Wanted(file, where, sort, order, first, save, sheet))


@tool(
    effect="pure",
    data=True,
    produces=("number", "text"),
    examples=(
        "tell me the best {by}",
        "tell me the {which} {by} for {y} in {file}",
        "who is the {which} {by} in {file}",
        "who is the {which} {by} by {y} in {file}",
        "{which} {by} for {y} in {file}",
        "what is the best {by}",
        "what was the best {by} for {y} in {file}",
        "tell me the {which} {by}",
        "tell me the {which} {by} by {y} in {file}",
        "which {by} was the {which}",
        "which {by} is the {which} in {file}",
        "which {by} has the highest {y} in {file}",
        "which {by} had the most {y} in {file}",
        "which {by} has the {which} {y} in {file}",
        "which {by} had the {which} {y} in {file}",
        "which {by} had the {which} {y}",
        "which {by} was the {which} in {file} for {y}",
        "which {by} was the {which} for {y} in {file}",
        "which was the {which} {by} for {y} in {file}",
        "what was the best {by}",
        "what was the {which} {by} in {file}",
        "what was the {which} {by} for {y} in {file}",
        "find the {by} with the {which} {y} in {file}",
        "{which} {by} by {y} in {file}",
        "what is our {which} {by} in {file}",
        "when was {y} highest in {file} by {by}",
        "which {by} sold the most in {file}",
        "top {by} by {y} in {file}",
        "welcher {by} hat den höchsten {y} in {file}",
        "welche {by} hat die meisten {y} in {file}",
        "was ist der beste {by} in {file}",
        "nenne mir den besten {by}",
        "quel est le meilleur {by} dans {file}",
        "quel {by} a le plus de {y} dans {file}",
    ),
)
def best(
    file: TableFile,
    y: str,
    by: str,
    *,
    which: Literal["best", "worst", "highest", "lowest", "most", "least"] = "best",
    how: How = "sum",
    where: str = "",
    sheet: str = "",
) -> Output:
    """Find the group (month, region, product …) of a data file with the highest or lowest value of a column.

    `y` and `by` are column names or plain words (revenue, month, weekday); `where` is like "region = North".
    """
    from plugins.data import answers, totals

    return answers.best(totals.Question(file, y, by, how, where, sheet), which)


@tool(
    effect="pure",
    data=True,
    produces=("table", "number", "text"),
    examples=(
        "total {y} in {file}",
        "unique {by} in {file}",
        "distinct {by} in {file}",
        "different {by} in {file}",
        "list all {by} in {file}",
        "{y} for each {by} in {file}",
        "calculate the {how} {y} in {file}",
        "total the {y} in {file}",
        "wie hoch ist der {how} {y} in {file}",
        "wie hoch ist {y} in {file}",
        "wie viel {y} in {file}",
        "quel est le total de {y} dans {file}",
        "quelle est la {how} de {y} dans {file}",
        "total de {y} par {by} dans {file}",
        "summe {y} pro {by} in {file}",
        "summe {y} nach {by} in {file}",
        "{how} {y} pro {by} in {file}",
        "{how} {y} nach {by} in {file}",
        "{how} {y} par {by} dans {file}",
        "total {y} by {by} in {file}",
        "what is the total {y} in {file}",
        "{how} {y} in {file}",
        "{how} {y} by {by} in {file}",
        "{how} {y} per {by} from {file}",
        "what is the {how} {y} in {file}",
        "what's the {how} {y} in {file}",
        "what's the total {y} in {file}",
        "what is the {how} {y} by {by} in {file}",
        "{y} by {by} in {file}",
        "{y} per {by} from {file}",
        "sum up {y} by {by} in {file}",
        "add up {y} in {file}",
        "number of {y} by {by} in {file}",
        "how many {y} per {by} in {file}",
        "how much {y} per {by} in {file}",
        "how much {y} did we make per {by} in {file}",
        "how much {y} did we make in {file}",
        "how many {y} are in {file}",
        "top {top} {by} by {y} in {file}",
        "the {top} best {by} by {y} in {file}",
        "compare {y} by {by} in {file}",
        "calculate {how} {y} for each {by} in {file}",
        "table of {y} by {by} from {file}",
        "{y} pro {by} in {file}",
        "{y} nach {by} aus {file}",
        "summe {y} in {file}",
        "durchschnitt {y} pro {by} in {file}",
        "{y} par {by} dans {file}",
    ),
)
def aggregate(
    file: TableFile,
    y: str = "rows",
    by: str = "",
    *,
    how: How = "sum",
    top: int = 0,
    where: str = "",
    sheet: str = "",
) -> Output:
    """Compute a sum, average, count … of a data file's column, in all or per group (month, region …).

    `y` and `by` are column names or plain words (revenue, month, weekday, rows); `where` is like "region = North".
    """
    from plugins.data import answers, totals

    return answers.aggregate(totals.Question(file, y, by, how, where, sheet), top)


@tool(
    effect="write_inside",
    data=True,
    produces=(".png",),
    examples=(
        "chart the {y} by {x} from {file}",
        "chart {y} from {file}",
        "plot {y} from {file}",
        "{kind} chart {y} by {x} from {file}",
        "{kind} chart of {y} from {file}",
        "{kind} plot of {y} vs {x} from {file}",
        "{kind} plot of {y} against {x} from {file}",
        "plot {y} vs {x} from {file}",
        "show {y} by {x} as a {kind} chart from {file}",
        "show {y} by {x} as a {kind} from {file}",
        "show a chart of {y} by {x} from {file}",
        "make a chart from {file} of {y} by {x}",
        "create a chart of {y} by {x} from {file}",
        "create a {kind} chart of {y} by {x} from {file}",
        "compare {y} by {x} in a chart from {file}",
        "how does {y} change over {x} in {file}",
        "erstelle ein Diagramm von {y} nach {x} aus {file}",
        "erstelle ein Diagramm vom {y} pro {x} aus {file}",
        "mach ein Diagramm von {y} nach {x} aus {file}",
        "zeige {y} pro {x} als Diagramm aus {file}",
        "fais un graphique de {y} par {x} de {file}",
        "chart {y} by {x} from {file}",
        "chart {y} by {x}",
        "chart of {y} by {x} from {file}",
        "plot {y} per {x} in {file}",
        "plot {y} over {x} from {file}",
        "plot {y} against {x} from {file}",
        "graph {y} by {x} from {file}",
        "draw {y} by {x} from {file}",
        "draw a chart of {y} by {x} from {file}",
        "make a chart of {y} by {x} from {file}",
        "make a {kind} chart of {y} by {x} from {file}",
        "{kind} chart of {y} by {x} from {file}",
        "bar chart of {y} by {x} from {file}",
        "line chart of {y} by {x} from {file}",
        "pie chart of {y} by {x} from {file}",
        "{kind} plot of {y} and {x} from {file}",
        "histogram of {y} from {file}",
        "show {y} by {x} as a chart from {file}",
        "visualise {y} by {x} from {file}",
        "visualize {y} by {x} from {file}",
        "chart {y} by {x} for each {series} from {file}",
        "chart {y} by {x} and {series} from {file}",
        "zeichne {y} nach {x} aus {file}",
        "diagramm {y} pro {x} aus {file}",
        "diagramm von {y} nach {x} aus {file}",
        "stelle {y} pro {x} aus {file} dar",
        "graphique de {y} par {x} de {file}",
        "trace {y} par {x} de {file}",
    ),
)
def chart(
    file: TableFile,
    y: str,
    x: str = "",
    *,
    kind: Literal["auto", "line", "bar", "pie", "scatter", "hist", "box"] = "auto",
    series: str = "",
    how: How = "sum",
    where: str = "",
    title: str = "",
    path: str = "",
    sheet: str = "",
) -> Output:
    """Draw a chart (PNG) of a data file: `y` per `x`, summed up as needed, one line or colour per `series`.

    `y`, `x` and `series` are column names or plain words (revenue, month, weekday). `path` names the picture.
    """
    from plugins.data import charts

    return charts.chart(charts.Wish(file, y, x, kind, series, how, where, title, path, sheet))


@tool(
    effect="write_inside",
    data=True,
    produces=("table", "text"),
    examples=(
        "{sql}",
        "run {sql} on {files}",
        "run sql {sql} on {files}",
        "query {files} with {sql}",
        "sql on {files}: {sql}",
    ),
)
def query(files: list[TableFile], sql: Annotated[str, Pattern(SELECT)], save: str = "") -> Output:
    """Run one SQL SELECT (DuckDB) over data files; each file is a view named after it, such as sales for sales.csv.

    Dates and numbers are already typed. `save` writes the whole result as .csv, .xlsx, .json or .parquet.
    """
    from plugins.data import sql as engine

    return engine.query(files, sql, save)


@tool(
    effect="write_inside",
    data=True,
    produces=(".pdf", ".html"),
    examples=(
        "write a report titled {title} with {text}",
        "make a pdf report {title} from {text}",
        "make a {format} report of {text}",
        "turn {text} into a {format}",
        "save {text} as a {format}",
        "put {files} into a {format} report",
        "put {files} in a {format}",
        "put {files} into a {format}",
        "turn {files} into a {format}",
        "turn {files} into {format}",
        "convert {files} to {format}",
        "make a {format} from {files}",
        "make a {format} of {files}",
        "make a {format} report of {files}",
        "make a {format} report from {files}",
        "make a {format} report with {files}",
        "make a {format} report titled {title} with {files}",
        "make a {format} report titled {title} from {files}",
        "create a {format} report of {files}",
        "write a {format} report about {files}",
        "erstelle einen {format} Bericht aus {files}",
    ),
)
def report(
    title: str = "",
    text: str = "",
    files: list[Annotated[str, File(".png", ".jpg", ".jpeg", ".csv", ".xlsx", ".md", ".txt")]] | None = None,
    format: Literal["pdf", "html"] = "pdf",  # noqa: A002  # the word that people use  # the word people use
    path: str = "",
) -> Output:
    """Write a PDF or HTML report from Markdown `text`; pictures and tables in `files` are put in.

    Without a title it is called after its first heading, or its first file.
    """
    from plugins.data import reports

    return reports.report(title, text, files or [], format, path)
