import time

import pytest

from agent.catalogue import Catalogue
from agent.domain.plan import StepType
from agent.domain.run import StepRecord
from agent.domain.states import Status
from agent.planning.offline import OfflinePlanner
from agent.planning.phrases import split_request
from agent.planning.planner import PlannerConfig, plan_steps
from agent.planning.request import Direct, Note, Planned, PlanRequest, Titled
from plugins.api import tool
from plugins.loader import discover, from_functions

FILES = ("sales.csv", "notes.md", "report.pdf")


@pytest.fixture(scope="module")
def built_in() -> Catalogue:
    """The tools that come with Dirigent."""
    return Catalogue(discover(entry_points=False))


def plan(catalogue, text, files=FILES, **fields):
    return OfflinePlanner(catalogue).plan(PlanRequest(text, tools=tuple(catalogue.tools()), files=files, **fields))


def steps(catalogue, text, files=FILES):
    return [event.step for event in plan(catalogue, text, files) if isinstance(event, Planned)]


def calls(catalogue, text, files=FILES):
    return [(step.tool, step.args) for step in steps(catalogue, text, files)]


def test_a_chart_and_the_best_month_are_two_steps_about_one_file(built_in):
    chart, best = steps(built_in, "chart the revenue by month from sales.csv and tell me the best month")
    assert (chart.tool, chart.args) == ("chart", {"file": "sales.csv", "y": "revenue", "x": "month"})
    assert best.tool == "best"
    assert best.args.items() >= {"file": "sales.csv", "y": "revenue", "by": "month"}.items()
    assert best.depends_on == ()


@pytest.mark.parametrize(
    ("text", "tool_name", "args"),
    [
        (
            "Could you please plot units per region in sales.csv as a bar chart?",
            "chart",
            {"y": "units", "x": "region", "kind": "bar"},
        ),
        ("make a pie chart of revenue by region from the sales data", "chart", {"file": "sales.csv", "kind": "pie"}),
        ("from sales.csv chart revenue by month", "chart", {"file": "sales.csv", "y": "revenue", "x": "month"}),
        (
            'line chart of revenue by month from sales.csv titled "Revenue 2026"',
            "chart",
            {"title": "Revenue 2026", "kind": "line"},
        ),
        ("what is in sales.csv?", "describe", {"file": "sales.csv"}),
        ("What's in sales.csv", "describe", {"file": "sales.csv"}),
        (
            "average revenue by region in sales.csv where year = 2024",
            "aggregate",
            {"how": "average", "where": "year = 2024"},
        ),
        ("top 5 products by revenue in sales.csv", "aggregate", {"top": 5, "by": "products", "y": "revenue"}),
        ("which month had the highest revenue in sales.csv", "best", {"by": "month", "y": "revenue"}),
        ("total revenue in salse.csv", "aggregate", {"file": "sales.csv", "y": "revenue"}),
        ("welcher Monat hat die meisten Verkäufe in sales.csv", "best", {"by": "Monat", "y": "Verkäufe"}),
        ("zeichne Umsatz nach Monat aus sales.csv", "chart", {"file": "sales.csv", "y": "Umsatz", "x": "Monat"}),
        ("graphique de ventes par mois de sales.csv", "chart", {"file": "sales.csv", "y": "ventes", "x": "mois"}),
        ("fetch https://example.org/page", "fetch", {"url": "https://example.org/page"}),
        ("how many days until 2026-12-24", "days_between", {"end": "2026-12-24"}),
        (
            "remember that I like short answers and show up late",
            "remember",
            {"text": "I like short answers and show up late"},
        ),
        ("rename notes.md to report2.pdf", "move_file", {"path": "notes.md", "to": "report2.pdf"}),
        ("run sql select * from sales on sales.csv", "query", {"sql": "select * from sales", "files": ["sales.csv"]}),
    ],
)
def test_a_request_in_plain_words_is_one_call(built_in, text, tool_name, args):
    ((found, given),) = calls(built_in, text)
    assert found == tool_name
    assert given.items() >= args.items()


def test_what_a_step_makes_goes_to_the_parameter_that_takes_it(built_in):
    convert, chart = steps(built_in, "convert sales.csv to sales.xlsx and chart revenue by month")
    assert chart.args["file"] == "{{ s1.files[0] }}"
    assert chart.depends_on == (convert.id,)


def test_it_stands_for_the_text_of_the_step_before(built_in):
    fetch, write = steps(built_in, "fetch https://example.org and save it as page.md")
    assert (fetch.tool, write.tool) == ("fetch", "write_file")
    assert write.args == {"text": "{{ s1.text }}", "path": "page.md"}


def test_a_step_that_reads_what_another_writes_comes_after_it(built_in):
    write, read = steps(built_in, 'write "hello" to hello.txt, then read hello.txt')
    assert read.depends_on == (write.id,)


def test_it_stands_for_the_file_of_the_step_before(catalogue):
    chart, mail = steps(catalogue, "chart revenue by month from sales.csv and send it to bob@example.org")
    assert mail.args == {"to": "bob@example.org", "file": "{{ s1.files[0] }}"}
    assert mail.depends_on == (chart.id,)


def test_a_missing_argument_is_asked_for_and_its_answer_referred_to(catalogue):
    ask, best = steps(catalogue, "what is the best month", files=("a.csv", "b.csv", "c.txt"))
    assert ask.step_type is StepType.ASK
    assert ask.options == ("a.csv", "b.csv")
    assert best.args == {"by": "month", "file": f"{{{{ {ask.id}.output }}}}"}
    assert best.depends_on == (ask.id,)


def test_the_only_file_that_fits_is_taken(catalogue):
    assert calls(catalogue, "what is the best month", files=("a.csv", "c.txt")) == [
        ("best", {"by": "month", "file": "a.csv"})
    ]


def test_files_with_blanks_and_folders_are_found(catalogue):
    assert (
        calls(catalogue, "chart revenue by month from my sales 2026.csv", ("my sales 2026.csv",))[0][1]["file"]
        == "my sales 2026.csv"
    )
    assert (
        calls(catalogue, "chart revenue by month from sales.csv", ("data/sales.csv",))[0][1]["file"] == "data/sales.csv"
    )


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("/roll", {}),
        ("/roll 20", {"sides": 20}),
        ("/roll 20 3", {"sides": 20, "times": 3}),
        ("/roll sides=20 --times=3", {"sides": 20, "times": 3}),
        ("/roll@my_bot times=2", {"times": 2}),
    ],
)
def test_a_slash_command_is_one_call(catalogue, text, args):
    assert calls(catalogue, text) == [("roll", args)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/rol 20", ["rol", "/roll"]),
        ("/roll many", ["sides", "whole number"]),
        ("/roll 1 2 3", ["3", "sides", "times"]),
    ],
)
def test_a_wrong_command_says_what_is_right(catalogue, text, words):
    (answer,) = plan(catalogue, text)
    assert isinstance(answer, Direct)
    assert all(word in answer.text for word in words)


def test_a_command_takes_all_its_text():
    @tool
    def shout(text: str, loud: bool = True) -> str:
        """Shout."""
        return text

    catalogue = Catalogue([from_functions("demo", [shout])])
    assert calls(catalogue, "/shout it's late, isn't it") == [("shout", {"text": "it's late, isn't it"})]


def test_an_unknown_request_is_answered_with_what_works_and_how_to_add_a_model(built_in):
    (answer,) = plan(built_in, "write me a poem about the sea")
    assert isinstance(answer, Direct)
    assert "poem about the sea" in answer.text
    assert "dirigent init" in answer.text
    examples = [line.removeprefix("• ") for line in answer.text.splitlines() if line.startswith("• ")]
    assert 3 <= len(examples) <= 5
    assert all(calls(built_in, example) for example in examples)


def test_what_was_not_understood_is_said_in_the_language_of_the_chat(built_in):
    (answer,) = plan(built_in, "write me a poem. A long one.", told_in="de")
    lines = answer.text.splitlines()
    assert lines[0] == (
        "Schreiben braucht ein Modell, und keines ist in Gebrauch. Nicht getan habe ich: „write me a poem. A long one“."
    )
    assert lines[2] == "Das geht:"
    assert lines[-1].startswith("Für ein Modell führe `dirigent init` aus")


def test_a_wrong_command_is_explained_in_the_language_of_the_chat(catalogue):
    (wrong,) = plan(catalogue, "/roll many", told_in="de")
    assert 'muss eine ganze Zahl sein, nicht "many". Seine Parameter: ' in wrong.text
    (unknown,) = plan(catalogue, "/rolll", told_in="de")
    assert unknown.text.startswith("Es gibt kein Werkzeug 'rolll'. Meintest du ")
    assert "\n\nBefehle: /" in unknown.text


def test_what_is_missing_is_asked_in_the_language_of_the_chat(catalogue):
    events = plan(catalogue, "what is the best month", files=("a.csv", "b.csv"), told_in="de")
    asked = [event.step.question for event in events if isinstance(event, Planned) and event.step.question]
    assert [question.split(" (")[0] for question in asked] == ["Welche Datei"]


def test_parts_that_are_not_understood_are_named(catalogue):
    events = plan(catalogue, "chart revenue by month from sales.csv and tell me a joke about cats")
    assert [event.step.tool for event in events if isinstance(event, Planned)] == ["chart"]
    assert ["joke about cats" in event.text for event in events if isinstance(event, Note)] == [True]


def test_a_plan_has_a_title_and_the_same_request_the_same_plan(catalogue):
    text = "chart revenue by month from sales.csv"
    assert plan(catalogue, text)[0] == Titled(text)
    assert plan(catalogue, text) == plan(catalogue, text)


def test_nothing_that_changes_the_world_is_done_by_likeness(catalogue):
    assert steps(catalogue, "mail mail mail send send") == []


def test_a_replan_adds_nothing_and_a_continued_plan_only_what_is_missing(catalogue):
    text = "chart revenue by month from sales.csv and tell me the best month"
    first, second = steps(catalogue, text)
    assert plan(catalogue, text, progress=(StepRecord(1, first, Status.FAILED),)) == []
    continued = plan(catalogue, text, planned=(first,))
    assert [event.step for event in continued if isinstance(event, Planned)] == [second]


async def test_plan_steps_works_without_a_model(catalogue):
    config = PlannerConfig(catalogue, tuple(catalogue.tools()))
    (step,) = await plan_steps(config, "fetch https://example.org", "")
    assert (step.tool, step.args) == ("fetch", {"url": "https://example.org"})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("chart revenue by region and month", ["chart revenue by region and month"]),
        ("please fetch a.org; then search for x", ["fetch a.org", "search for x"]),
        ("1. chart y by x\n2. fetch a.org", ["chart y by x", "fetch a.org"]),
        ('search for "this and fetch that"', ['search for "this and fetch that"']),
        ("chart sales.csv and, finally, tell me the best month, please", ["chart sales.csv", "tell me the best month"]),
        ("search for cats. Also fetch a.org!", ["search for cats", "fetch a.org"]),
    ],
)
def test_requests_are_split_where_a_new_one_begins(catalogue, text, parts):
    assert split_request(text, catalogue.tools()) == parts


def test_planning_takes_milliseconds(built_in):
    text = "chart the revenue by month from sales.csv and tell me the best month"
    plan(built_in, text)
    begin = time.thread_time()
    for _ in range(20):
        plan(built_in, text)
    assert (time.thread_time() - begin) / 20 < 0.05


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "/",
        "{{ s1.output }}",
        "⟦0⟧ ⟦7⟧",
        "\x00\x01",
        "and " * 3000,
        '"' * 5000,
        "show " * 1600,
        "a, show " * 900,
    ],
)
def test_odd_requests_are_answered_and_quickly(built_in, text):
    begin = time.thread_time()
    assert plan(built_in, text)
    assert time.thread_time() - begin < 5
