"""What people type when no model is there: the plans that the built-in tools' phrases make of it.

Only planned, not run; `test_offline_answers.py` runs a few of them in the sandbox.
"""

import pytest

from agent.catalogue import Catalogue
from agent.domain.plan import StepType
from agent.domain.provenance import USER, Provenance
from agent.planning.offline import OfflinePlanner
from agent.planning.request import Direct, Note, Planned, PlanRequest
from plugins.loader import discover

FILES = (
    *("sales.csv", "umsatz.csv", "company.xlsx", "notes.md", "lease.pdf"),
    *("plan.docx", "events.jsonl", "photo.jpg", "logo.png", "todo.txt"),
)
ALONE = ("sales.csv",)


@pytest.fixture(scope="module")
def built_in() -> Catalogue:
    return Catalogue(discover(entry_points=False))


def planned(catalogue, text, files=FILES):
    request = PlanRequest(text, tools=tuple(catalogue.tools()), files=files)
    return OfflinePlanner(catalogue).plan(request)


def steps(catalogue, text, files=FILES):
    return [event.step for event in planned(catalogue, text, files) if isinstance(event, Planned)]


SALES = {"file": "sales.csv"}
BY_REGION = {**SALES, "y": "revenue", "x": "region"}
NAMED = [
    ("chart the revenue by month from sales.csv", "chart", {**SALES, "y": "revenue", "x": "month"}),
    ("Chart revenue by region from sales.csv and save it as r.png", "chart", {**BY_REGION, "path": "r.png"}),
    ("pls plot units per product in the sales file", "chart", {**SALES, "y": "units", "x": "product"}),
    ("pie chart of revenue by region from sales.csv", "chart", {**BY_REGION, "kind": "pie"}),
    ("scatter plot of units vs revenue from sales.csv", "chart", {"kind": "scatter", "y": "units", "x": "revenue"}),
    ("histogram of revenue in sales.csv", "chart", {**SALES, "y": "revenue", "kind": "hist"}),
    ("zeichne umsatz pro filiale aus umsatz.csv", "chart", {"file": "umsatz.csv", "y": "umsatz", "x": "filiale"}),
    ("Diagramm Umsatz nach Monat aus umsatz.csv", "chart", {"y": "Umsatz", "x": "Monat"}),
    ("Erstelle ein Diagramm vom Umsatz pro Filiale aus umsatz.csv", "chart", {"y": "Umsatz", "x": "Filiale"}),
    ("trace le revenue par region de sales.csv", "chart", BY_REGION),
    ("Wie hoch ist der Gesamtumsatz in umsatz.csv?", "aggregate", {"y": "Gesamtumsatz"}),
    ("Summe Umsatz pro Filiale in umsatz.csv", "aggregate", {"how": "sum", "y": "Umsatz", "by": "Filiale"}),
    ("Quel est le total de revenue dans sales.csv ?", "aggregate", {**SALES, "y": "revenue", "how": "sum"}),
    ("what's the total revenue in sales.csv?", "aggregate", {**SALES, "y": "revenue", "how": "sum"}),
    ("what is the average salary in company.xlsx", "aggregate", {"how": "average", "y": "salary"}),
    (
        "total budget by department from company.xlsx sheet Budget",
        "aggregate",
        {"file": "company.xlsx", "y": "budget", "by": "department", "sheet": "Budget"},
    ),
    ("average ms by user in events.jsonl", "aggregate", {"how": "average", "y": "ms", "by": "user"}),
    ("median revenue in sales.csv", "aggregate", {**SALES, "how": "median", "y": "revenue"}),
    ("unique products in sales.csv", "aggregate", {**SALES, "by": "products"}),
    ("which department has the highest salary in company.xlsx?", "best", {"by": "department", "which": "highest"}),
    ("show me the first 5 rows of sales.csv", "show_rows", {**SALES, "first": 5}),
    ("filter sales.csv where region = North", "show_rows", {**SALES, "where": "region = North"}),
    ("show rows of sales.csv where revenue > 150", "show_rows", {**SALES, "where": "revenue > 150"}),
    (
        "sales.csv only where product is Apples and save it as apples.csv",
        "show_rows",
        {**SALES, "where": "product is Apples", "save": "apples.csv"},
    ),
    ("sort sales.csv by revenue", "show_rows", {**SALES, "sort": "revenue"}),
    ("select region, count(*) from sales group by 1", "query", {"files": ["sales.csv"]}),
    ("how many rows does sales.csv have?", "describe", SALES),
    ("how many rows has sales.csv?", "describe", SALES),
    ("what is in company.xlsx", "describe", {"file": "company.xlsx"}),
    ("open company.xlsx", "describe", {"file": "company.xlsx"}),
    ("convert sales.csv to xlsx", "convert_file", {"path": "sales.csv", "to": "xlsx"}),
    ("convrt sales.csv to xlsx", "convert_file", {"path": "sales.csv", "to": "xlsx"}),
    ("convert photo.jpg to png", "convert_file", {"path": "photo.jpg", "to": "png"}),
    ("turn notes.md into html", "report", {"files": ["notes.md"], "format": "html"}),
    ("convert notes.md to pdf", "report", {"files": ["notes.md"], "format": "pdf"}),
    ("make a pdf report of notes.md", "report", {"files": ["notes.md"], "format": "pdf"}),
    ("read notes.md", "read_file", {"path": "notes.md"}),
    ("show todo.txt", "read_file", {"path": "todo.txt"}),
    ("what does lease.pdf say?", "extract_text", {"path": "lease.pdf"}),
    ("read plan.docx", "extract_text", {"path": "plan.docx"}),
    ("what's the rent in lease.pdf?", "search_document", {"text": "rent", "path": "lease.pdf"}),
    ("find deposit in lease.pdf", "search_document", {"text": "deposit", "path": "lease.pdf"}),
    ("search for TODO in notes.md", "search_files", {"pattern": "TODO", "path": "notes.md"}),
    ('find "milk" in todo.txt', "search_files", {"pattern": "milk", "path": "todo.txt"}),
    ("find all lines with TODO in notes.md", "search_files", {"pattern": "TODO", "path": "notes.md"}),
    ("which files contain budget?", "search_files", {"pattern": "budget"}),
    ("how many words are in notes.md?", "count_words", {"path": "notes.md"}),
    ("word count of lease.pdf", "count_words", {"path": "lease.pdf"}),
    ("how many lines has notes.md", "count_words", {"path": "notes.md"}),
    ("rename todo.txt to tasks.txt", "move_file", {"path": "todo.txt", "to": "tasks.txt"}),
    ("remove the file logo.png", "delete_file", {"path": "logo.png"}),
    ("copy notes.md to backup/notes.md", "copy_file", {"path": "notes.md", "to": "backup/notes.md"}),
    ('add "eggs" to todo.txt', "append_file", {"text": "eggs", "path": "todo.txt"}),
    ("replace milk with oat milk in todo.txt", "edit_file", {"find": "milk", "replace": "oat milk"}),
    ("create a file shopping.txt with apples and pears", "write_file", {"text": "apples and pears"}),
    ("what files do i have?", "list_files", {}),
    ("what time is it?", "now", {}),
    ("time in New York please", "now", {"time_zone": "New York"}),
    ("wie spät ist es in Berlin", "now", {"time_zone": "Berlin"}),
    ("how many days until christmas", "days_between", {"end": "christmas"}),
    ("days between 2026-01-01 and 2026-03-01", "days_between", {"start": "2026-01-01", "end": "2026-03-01"}),
    ("what date is in 3 weeks", "add_to_date", {"amount": 3, "unit": "weeks"}),
    ("what is 17 * 23", "calculate", {"expression": "17 * 23"}),
    ("calculate 15% of 240", "calculate", {"expression": "15% of 240"}),
    ("run python print(2+2)", "python", {"code": "print(2+2)"}),
    ("/shell ls -la", "shell", {"command": "ls -la"}),
    ("what does https://example.org say", "fetch", {"url": "https://example.org"}),
    ("search the web for train strikes", "search_web", {"query": "train strikes"}),
    ("remember that I prefer tea", "remember", {"text": "I prefer tea"}),
    ("what do you know about me?", "recall", {}),
    ("forget that I prefer tea", "forget", {"query": "I prefer tea"}),
]
UNNAMED = [
    ("make me a bar chart of revenue by region", "chart", {**BY_REGION, "kind": "bar"}),
    ("can you show me revenue per month as a line chart?", "chart", {"y": "revenue", "x": "month", "kind": "line"}),
    ("pie chart revenue by product", "chart", {"kind": "pie", "y": "revenue", "x": "product"}),
    ("what is the total revenue", "aggregate", {"y": "revenue", "how": "sum"}),
    ("total revenue by region", "aggregate", {"y": "revenue", "by": "region", "how": "sum"}),
    ("How much revenue did we make in March?", "aggregate", {"y": "revenue", "where": "month of year = March"}),
    ("total revenue in March in the sales data", "aggregate", {"y": "revenue", "where": "month of year = March"}),
    ("total revenue in 2026", "aggregate", {"y": "revenue", "where": "2026"}),
    ("total revenue for North", "aggregate", {"y": "revenue", "where": "North"}),
    ("averge revenue by region", "aggregate", {"how": "average", "y": "revenue", "by": "region"}),
    ("top 5 products by revenue", "aggregate", {"top": 5, "by": "products", "y": "revenue"}),
    ("monthly revenue", "aggregate", {"y": "revenue", "by": "month"}),
    ("show me sales by region", "aggregate", {"y": "sales", "by": "region"}),
    ("list all products", "aggregate", {"by": "products"}),
    ("which product had the lowest revenue?", "best", {"by": "product", "which": "lowest", "y": "revenue"}),
    ("tell me the best and the worst month for revenue", "best", {"which": "best", "y": "revenue"}),
    ("show the first 10 rows", "show_rows", {"first": 10}),
    ("sort by revenue descending", "show_rows", {"sort": "revenue", "order": "descending"}),
    ("how many rows are there?", "describe", {}),
]


@pytest.mark.parametrize(("text", "tool", "args"), NAMED, ids=[text for text, _, _ in NAMED])
def test_a_request_that_names_its_file_is_one_step(built_in, text, tool, args):
    (step,) = steps(built_in, text)
    assert step.tool == tool
    assert step.args.items() >= args.items()


@pytest.mark.parametrize(("text", "tool", "args"), UNNAMED, ids=[text for text, _, _ in UNNAMED])
def test_the_only_file_there_needs_no_name(built_in, text, tool, args):
    (step,) = steps(built_in, text, ALONE)
    assert step.tool == tool
    assert step.args.items() >= {"file": "sales.csv", **args}.items()


@pytest.mark.parametrize(
    ("text", "tools"),
    [
        ("describe sales.csv and chart revenue by month", ["describe", "chart"]),
        ("read notes.md and find TODO in it", ["read_file", "search_files"]),
        ("chart revenue by month from sales.csv and put it into a pdf report", ["chart", "report"]),
        ('chart revenue by region from sales.csv then make a pdf report titled "Q3" with it', ["chart", "report"]),
        ("make a PDF report with a chart of revenue by region from sales.csv", ["chart", "report"]),
        ("- chart revenue by region from sales.csv\n- total units by product from sales.csv", ["chart", "aggregate"]),
        ("1. read todo.txt 2. delete todo.txt", ["read_file", "delete_file"]),
    ],
)
def test_several_parts_are_several_steps(built_in, text, tools):
    assert [step.tool for step in steps(built_in, text)] == tools


def test_it_is_what_the_part_before_made_or_read(built_in):
    read, found = steps(built_in, "read notes.md and find TODO in it")
    assert found.args["path"] == read.args["path"] == "notes.md"
    chart, report = steps(built_in, "chart revenue by month from sales.csv and put it into a pdf report")
    assert report.args["files"] == [f"{{{{ {chart.id}.files[0] }}}}"]


def test_a_chart_without_a_column_asks_for_it(built_in):
    asked, chart = steps(built_in, "chart it", ALONE)
    assert asked.step_type is StepType.ASK
    assert "column" in asked.question
    assert asked.id in chart.args["y"]


def test_a_part_that_is_not_understood_is_named_and_the_rest_is_planned(built_in):
    events = planned(built_in, "chart revenue by month from sales.csv, and then also the units")
    assert [event.step.tool for event in events if isinstance(event, Planned)] == ["chart"]
    assert any("the units" in event.text for event in events if isinstance(event, Note))


def test_a_summary_without_a_model_is_the_text_and_says_so(built_in):
    events = planned(built_in, "summarize lease.pdf")
    assert [event.step.tool for event in events if isinstance(event, Planned)] == ["extract_text"]
    assert any("Without a model" in event.text for event in events if isinstance(event, Note))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "Hello"),
        ("hi there!", "Hello"),
        ("Thanks!", "welcome"),
        ("what can you do?", "carry it out"),
        ("translate notes.md to German", "Translating needs a model"),
        ("write a poem about autumn", "Writing needs a model"),
        ("book me a flight to Rome", "No tool here can do that"),
        ("summarise notes.md in two sentences", "read notes.md"),
        ("delete everything", "I did not do “delete everything”"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_can(built_in, text, said):
    (event,) = planned(built_in, text)
    assert isinstance(event, Direct)
    assert said in event.text


def test_a_page_that_was_read_before_does_not_choose_what_plain_words_ask_for(built_in):
    page = Provenance.of("web:example.org", trusted=False)

    def labels(text):
        tools = tuple(built_in.tools())
        request = PlanRequest(text, tools=tools, files=ALONE, control=USER | page, words=USER)
        return [event.control for event in OfflinePlanner(built_in).plan(request) if isinstance(event, Planned)]

    assert labels("remember that I prefer tea") == [USER]
    assert labels("/forget tea") == [USER]
    assert labels("chart revenue by month from sales.csv") == [USER]
    assert labels("chart revenue by month") == [USER | page]


def test_every_suggested_request_is_understood(built_in):
    (event,) = planned(built_in, "hello")
    suggested = [line.removeprefix("• ") for line in event.text.splitlines() if line.startswith("• ")]
    assert len(suggested) == 5
    for request in suggested:
        assert steps(built_in, request), request
