"""Sums, bests, filters and SQL: exact numbers, and everything assumed or left out is said."""

import csv
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.api import ToolFailure, spec_of
from plugins.data import aggregate, best, chart, describe, query, report


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


ORDERS = """order_id,order_date,ship_date,product,quantity,unit_price,discount
1,2024-01-03,2024-02-03,Tea,2,3.50,0.1
2,2024-01-09,2024-02-09,Coffee,1,12.25,0
3,2024-02-01,2024-03-01,tea,10,3.50,0
4,,2024-03-02,Tea,1,3.50,0
5,2024-02-30,2024-03-03,Cup,1,9,0
"""

cents = st.integers(-(10**8), 10**8)
cells = st.lists(
    st.tuples(st.sampled_from(["North", "South", "", "Süd-Ost"]), cents | st.none()), min_size=1, max_size=60
)


@given(cells)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_averages_and_counts_are_those_of_plain_python(rows: list[tuple[str, int | None]]) -> None:
    rows = [*rows, ("North", 1), ("North", 2)]
    with Path("p.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["region", "amount"], *[[r, "" if c is None else f"{Decimal(c).scaleb(-2)}"] for r, c in rows]]
        )
    groups: dict[str, list[int]] = defaultdict(list)
    for region, amount in rows:
        if region and amount is not None:
            groups[region].append(amount)
    known = {key: numbers for key, numbers in groups.items() if numbers}
    found = {row["key"]: row["value"] for row in aggregate("p.csv", "amount", "region").value["rows"]}
    for key, numbers in known.items():
        assert found[key] == float(Decimal(sum(numbers)).scaleb(-2))
    means = {row["key"]: row["value"] for row in aggregate("p.csv", "amount", "region", how="average").value["rows"]}
    for key, numbers in known.items():
        assert means[key] == pytest.approx(sum(numbers) / len(numbers) / 100, rel=1e-12)
    counts = {row["key"]: row["value"] for row in aggregate("p.csv", "rows", "region").value["rows"]}
    assert counts == {key: sum(r == key for r, _ in rows) for key in {r for r, _ in rows if r}}


def test_sums_that_floats_get_wrong_are_exact() -> None:
    write("a.csv", "x\n" + "0.1\n" * 10_000)
    assert aggregate("a.csv", "x").value["value"] == 1000
    write("b.csv", "x\n" + "\n".join(["9007199254740.99", "0.01"] * 3))
    assert aggregate("b.csv", "x").value["value"] == 27021597764223.0


def test_revenue_without_a_column_is_quantity_times_price_and_said() -> None:
    answer = best(write("o.csv", ORDERS), "revenue", "month")
    assert (answer.value["key"], answer.value["value"]) == ("2024-02", 35.0)
    assert "computed as 'quantity' × 'unit_price'" in answer.text
    assert "'discount' was not taken off" in answer.text
    assert "2 rows without a readable date in 'order_date' (such as '2024-02-30') were left out." in answer.text
    assert "'order_date' was used" in answer.text


def test_a_named_date_column_is_the_one_that_counts() -> None:
    answer = aggregate(write("o.csv", ORDERS), "quantity", "month of ship date")
    assert [(row["key"], row["value"]) for row in answer.value["rows"]] == [("2024-02", 3), ("2024-03", 12)]


def test_spellings_that_differ_in_case_are_one_group() -> None:
    answer = aggregate(write("o.csv", ORDERS), "quantity", "product")
    assert {row["label"]: row["value"] for row in answer.value["rows"]} == {"Tea": 13, "Coffee": 1, "Cup": 1}
    assert "'Tea' and 'tea' in 'product' were counted as one" in answer.text


@pytest.mark.parametrize(
    ("header", "y", "by"),
    [
        ("Datum;Umsatz;Land", "revenue", "country"), ("date;Sales Amount (EUR);Country", "revenue", "countries"),
        ("Date de commande;Chiffre d'affaires;Pays", "turnover", "Land"), ("when;TotalRevenue;country_name", "revenue", "country"),
        ("day;betrag;LAND", "sales", "land"), ("t;revnue;cuontry", "revenue", "country"), ("d;net_revenue_usd;ctry", "revenue", "ctry"),
    ],
)  # fmt: skip
def test_columns_are_found_by_what_people_call_them(header: str, y: str, by: str) -> None:
    write("a.csv", f"{header}\n2024-01-01;5,50;DE\n2024-01-02;4,50;FR\n2024-02-01;1,00;DE\n")
    answer = best("a.csv", y, by)
    assert (answer.value["label"], answer.value["value"]) == ("DE", 6.5)
    month = best("a.csv", y, "Monat")
    assert (month.value["key"], month.value["value"]) == ("2024-01", 10)


def test_two_columns_that_fit_equally_are_a_question() -> None:
    write("a.csv", "date,net_revenue,gross_revenue\n2024-01-01,1,2\n")
    with pytest.raises(ToolFailure) as refused:
        best("a.csv", "revenue", "month")
    assert refused.value.message == "'revenue' could be 'net_revenue' or 'gross_revenue' in a.csv."


def test_taxes_discounts_and_ids_are_never_taken_for_revenue() -> None:
    write("a.csv", "date,tax_amount,discount_amount,amount_id,amount\n2024-01-01,1,2,3,4\n")
    assert aggregate("a.csv", "revenue").value["value"] == 4


def test_an_impossible_wish_names_the_columns_that_exist() -> None:
    write("a.csv", "name,size\nx,1\ny,2\n")
    with pytest.raises(ToolFailure, match="no column 'revenue'") as refused:
        best("a.csv", "revenue", "name")
    assert "name (text), size (number)" in refused.value.hint
    with pytest.raises(ToolFailure, match="no column of dates"):
        best("a.csv", "size", "month")
    with pytest.raises(ToolFailure, match="no way to sum up"):
        aggregate("a.csv", "size", "name", how="magic")  # type: ignore[arg-type]


def test_a_revenue_column_of_words_is_named_as_such() -> None:
    write("a.csv", "date,revenue,Umsatz\n2024-01-01,low,x\n")
    with pytest.raises(ToolFailure, match=r"'revenue' of a\.csv holds text"):
        aggregate("a.csv", "revenue", how="average")


def test_months_of_different_years_are_kept_apart() -> None:
    write("a.csv", "date,sales\n2023-07-01,5\n2024-07-01,9\n2024-08-01,7\n")
    answer = best("a.csv", "sales", "month")
    assert answer.text.startswith(
        "Best month: July 2024 with sales 9 (42.9 % of the total 21 over 3 months). Next is August 2024 with 7."
    )
    assert best("a.csv", "sales", "month of year").value["label"] == "July"


def test_year_and_month_in_columns_of_their_own_are_joined() -> None:
    write("a.csv", "year,month,sales\n2023,12,5\n2024,1,7\n2024,12,1\n")
    assert best("a.csv", "sales", "month").value["key"] == "2024-01"


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("year", ["2024"]), ("quarter", ["Q1 2024"]), ("week", ["week 1 of 2024", "week 2 of 2024", "week 5 of 2024"]),
        ("weekday", ["Tuesday", "Wednesday", "Thursday"]), ("day", ["3 January 2024", "9 January 2024", "1 February 2024"]),
    ],
)  # fmt: skip
def test_periods_are_derived_from_dates(by: str, labels: list[str]) -> None:
    answer = aggregate(write("o.csv", ORDERS), "quantity", by)
    assert [row["label"] for row in answer.value["rows"]] == labels


def test_hours_need_times() -> None:
    with pytest.raises(ToolFailure, match="only names the day"):
        aggregate(write("a.csv", "date,x\n2024-01-01,1\n"), "x", "hour")
    assert aggregate(write("b.csv", "at,x\n2024-01-01 14:05,1\n"), "x", "hour").value["rows"][0]["label"] == "14:00"


def test_the_worst_month_tells_a_month_that_is_not_complete() -> None:
    days = [f"2024-{month:02}-{day:02},{month}" for month in (1, 2, 3) for day in range(1, 29)] + [
        "2024-04-01,1",
        "2024-04-02,1",
    ]
    answer = best(write("a.csv", "date,sales\n" + "\n".join(days)), "sales", "month", which="worst")
    assert answer.value["key"] == "2024-04"
    assert "so April 2024 is not complete. Among complete months it is January 2024 with 28." in answer.text


def test_ties_are_said() -> None:
    answer = best(write("a.csv", "who,x\na,1\nb,1\nc,0\n"), "x", "who")
    assert answer.text == "Best who: a, b share first place with x 1 each. Next is c with 0."
    assert answer.value["ties"] == ["b"]


def test_best_and_worst_can_be_asked_together() -> None:
    answer = best(write("a.csv", "who,x\na,1\nb,3\nc,2\n"), "x", "who and the worst who")
    assert (answer.value["label"], answer.value["also"]["label"]) == ("b", "a")


def test_rates_are_averaged_instead_of_added() -> None:
    answer = aggregate(write("a.csv", "who,rating\na,4\na,5\nb,1\n"), "rating", "who")
    assert {row["key"]: row["value"] for row in answer.value["rows"]} == {"a": 4.5, "b": 1}
    assert "averaged" in answer.text


@pytest.mark.parametrize(
    ("y", "value"),
    [
        ("rows", 5),
        ("number of orders", 5),
        ("average quantity", 3),
        ("highest unit price", 12.25),
        ("number of products", 3),
        ("total quantity", 15),
    ],
)
def test_what_is_computed_may_be_said_in_words(y: str, value: float) -> None:
    text = ORDERS.replace("tea", "Tea")
    assert aggregate(write("o.csv", text), y).value["value"] == value


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("product = tea", 13), ("product is Tea and quantity > 1", 12), ("year = 2024", 13), ("2024", 13), ("January 2024", 3),
        ("order_date >= 2024-01-05", 11), ("month = 2024-02", 10), ("Cup", 1), ("product contains O", 1), ("product != Tea", 2),
        ("unit_price <= 3,50", 13),
    ],
)  # fmt: skip
def test_rows_are_chosen_by_conditions(where: str, value: int) -> None:
    assert aggregate(write("o.csv", ORDERS), "quantity", where=where).value["value"] == value


def test_conditions_that_fit_nothing_say_so() -> None:
    write("o.csv", ORDERS)
    with pytest.raises(ToolFailure, match=r"No row of o\.csv fulfils 'product = Milk'"):
        aggregate("o.csv", "quantity", where="product = Milk")
    with pytest.raises(ToolFailure, match="is not understood"):
        aggregate("o.csv", "quantity", where="gibberish here")


def test_a_file_is_described_with_ranges_and_what_is_missing() -> None:
    answer = describe(write("o.csv", ORDERS))
    facts = {fact["name"]: fact for fact in answer.value["columns"]}
    assert answer.value["rows"] == 5
    assert (facts["order_date"]["type"], facts["order_date"]["missing"], facts["order_date"]["unreadable"]) == (
        "date",
        1,
        1,
    )
    assert (facts["quantity"]["min"], facts["quantity"]["max"]) == (1, 10)
    assert "1 cell of 'order_date' (such as '2024-02-30') can't be read as a date" in answer.text
    json.dumps(answer.value)


@pytest.mark.parametrize("text", ["a,b\n", "a,b\n,\n,\n", "a\n1\n", "date,revenue\n2024-01-01,5\n"])
def test_tiny_and_empty_tables_are_described(text: str) -> None:
    json.dumps(describe(write("a.csv", text)).value)


def test_empty_columns_are_refused_where_they_are_needed() -> None:
    write("a.csv", "date,revenue,note\n2024-01-01,5,\n2024-01-02,6,\n")
    with pytest.raises(ToolFailure, match="holds nothing"):
        best("a.csv", "note", "month")
    with pytest.raises(ToolFailure, match="is empty"):
        best("a.csv", "revenue", "note")
    with pytest.raises(ToolFailure, match="no rows"):
        best(write("h.csv", "date,revenue\n"), "revenue", "month")


def test_sql_joins_files_with_exact_types() -> None:
    write("o.csv", ORDERS)
    write("Price List.csv", "product;farmed\nTea;ja\nCup;nein\n")
    answer = query(
        ["o.csv", "Price List.csv"],
        "select p.farmed, sum(o.quantity * o.unit_price) as worth from 'o.csv' o join price_list p on lower(o.product) = lower(p.product) group by 1 order by 2 desc",
    )
    assert answer.value["rows"] == [{"farmed": "ja", "worth": 45.5}, {"farmed": "nein", "worth": 9.0}]
    assert query(["o.csv"], "select typeof(unit_price) t, typeof(order_date) d from o limit 1").value["rows"] == [
        {"t": "DECIMAL(18,2)", "d": "DATE"}
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/passwd')", "select * from '/etc/passwd'", "copy o to 'x.csv'", "drop table o", "select 1; select 2",
        "install httpfs", "attach 'x.db'", "select * from glob('*')", "set enable_external_access = true", "insert into o values (1)",
        "select nothing from o", "not sql at all", "", "pragma database_list", "select getenv('HOME')",
    ],
)  # fmt: skip
def test_sql_reaches_nothing_but_the_files_and_changes_nothing(sql: str) -> None:
    write("o.csv", ORDERS)
    with pytest.raises(ToolFailure):
        query(["o.csv"], sql)
    assert [path.name for path in Path().iterdir()] == ["o.csv"]


@pytest.mark.parametrize("name", ["r.csv", "r.xlsx", "r.json", "r.parquet", "sub/r"])
def test_results_are_saved_whole_and_can_be_read_again(name: str) -> None:
    write("o.csv", ORDERS)
    answer = query(["o.csv"], "select *, '=1+1' as f from o, range(300)", save=name)
    assert answer.value["count"] == 1500
    assert len(answer.value["rows"]) == 500
    again = describe(answer.files[0]).value
    assert again["rows"] == 1500
    assert aggregate(answer.files[0], "quantity").value["value"] == 4500


def test_a_formula_stays_text_in_excel() -> None:
    from openpyxl import load_workbook

    query([write("a.csv", "x\n=1+1\nb\n")], "select x from a", save="r.xlsx")
    book = load_workbook("r.xlsx")
    assert book["Result"]["A2"].data_type == "s"
    book.close()


def test_every_tool_can_be_described_to_a_model() -> None:
    for tool in (describe, aggregate, best, chart, query, report):
        spec = spec_of(tool)
        assert spec is not None
        assert spec.examples
        for example in spec.examples:
            slots = {part.split("}")[0] for part in example.split("{")[1:]}
            assert slots <= set(spec.parameters["properties"]), example


def test_a_long_table_is_typed_by_all_of_its_rows() -> None:
    lines = [f"2024-01-{n % 28 + 1:02},{'oops' if n == 4321 else n},{n % 3}" for n in range(6000)]
    answer = best(write("long.csv", "date,amount,group\n" + "\n".join(lines)), "amount", "group")
    assert answer.value["total"] == sum(range(6000)) - 4321
    assert "1 row without a number in 'amount' (1 not readable, such as 'oops') was left out." in answer.text


def test_a_month_column_without_dates_still_orders_by_the_calendar() -> None:
    lines = [f"{month},{n}" for n, month in enumerate(["Mar", "Jan", "Feb"] * 500)]
    answer = aggregate(write("m.csv", "order_month,x\n" + "\n".join(lines)), "x", "month")
    assert [row["label"] for row in answer.value["rows"]] == ["Jan", "Feb", "Mar"]


def test_a_short_column_name_is_not_taken_for_another_word() -> None:
    with pytest.raises(ToolFailure, match="no column 'country'"):
        aggregate(write("c.csv", "count,x\n1,2\n2,3\n"), "x", "country")


@pytest.mark.parametrize(("last", "said"), [(31, False), (29, False), (20, True)])
def test_a_month_that_lacks_a_day_or_two_counts_as_complete(last: int, said: bool) -> None:
    dense = [f"2024-{month:02}-{day:02},1" for month in (3, 4, 5) for day in range(1, 1 + (last if month == 5 else 30))]
    answer = chart(write("a.csv", "date,sales\n" + "\n".join(dense)), "sales", "month")
    assert ("May 2024 is not complete" in answer.text) is said
