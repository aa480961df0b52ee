"""The first thing a stranger asks: a chart and the best month of a file nobody has seen before."""

import csv
import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from plugins.data import best, chart


@pytest.fixture
def sales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Decimal]:
    """Write 100,000 rows as a German shop exports them; return the true sum per month."""
    monkeypatch.chdir(tmp_path)
    dice = random.Random(7)
    sums: dict[str, Decimal] = {}
    with Path("sales.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=";")
        out.writerow(["Bestell-Nr", "Bestelldatum", "Region", "Umsatz", "MwSt"])
        for number in range(100_000):
            day = date(2024, 1, 1) + timedelta(days=dice.randrange(366))
            cents = dice.randrange(100, 250_000)
            amount = Decimal(cents).scaleb(-2)
            shown = f"€ {amount:,.2f}".translate(str.maketrans(",.", ".,"))
            out.writerow([number, day.strftime("%d.%m.%Y"), dice.choice(["Nord", "Süd", "West"]), shown, "19 %"])
            sums[f"{day:%Y-%m}"] = sums.get(f"{day:%Y-%m}", Decimal(0)) + amount
    return sums


def test_the_best_month_of_a_hundred_thousand_rows_is_exact(sales: dict[str, Decimal]) -> None:
    answer = best("sales.csv", "revenue", "month")
    month = max(sales, key=sales.__getitem__)
    assert answer.value["key"] == month
    assert answer.value["value"] == float(sales[month])
    assert answer.value["total"] == float(sum(sales.values()))
    assert f"€{sales[month]:,.2f}" in answer.text
    assert "'revenue' was taken to be the column 'Umsatz'" in answer.text


def test_the_chart_of_a_hundred_thousand_rows_is_a_picture_with_the_same_numbers(sales: dict[str, Decimal]) -> None:
    answer = chart("sales.csv", "revenue", "month")
    assert answer.files == ("revenue-by-month.png",)
    assert Path(answer.files[0]).read_bytes().startswith(b"\x89PNG")
    assert {row["key"]: row["value"] for row in answer.value["rows"]} == {k: float(v) for k, v in sales.items()}
