"""Numbers and lists in sentences for people. Rounding happens here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

PREFIXED = frozenset("€$£¥₹₽₺")


def quantity(value: float | None, unit: str = "", decimals: int = 2) -> str:
    """Return `1,234.50`, `€1,234.50`, `12.5 %`: whole numbers without decimals unless they are money."""
    if value is None:
        return "none"
    money = unit in PREFIXED or unit.isupper()
    exact = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)
    small = 0 < abs(exact) < 1 and not money
    digits = decimals if not small else max(decimals, 3 - exact.adjusted() - 1)
    rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) if abs(exact) < Decimal(10) ** 20 else exact
    if rounded == rounded.to_integral() and not (money and decimals):
        rounded = rounded.to_integral()
    text = f"{abs(rounded):,f}"
    minus = "-" if rounded < 0 else ""
    if unit in PREFIXED:
        return f"{minus}{unit}{text}"
    return f"{minus}{text} {unit}".strip()


def share(part: float, whole: float) -> str:
    """Return `8.9 %`."""
    return f"{100 * part / whole:.1f} %"


def rows(number: int) -> str:
    """Return `1 row` or `12,345 rows`."""
    return f"{number:,} row" + ("" if number == 1 else "s")


def table(names: Sequence[str], lines: Sequence[Sequence[Any]], most: int = 30) -> str:
    """Return a Markdown table of at most `most` lines, and a line that says how many more there are."""
    head = ["| " + " | ".join(map(_cell, names)) + " |", "|" + "---|" * len(names)]
    body = ["| " + " | ".join(map(_cell, line)) + " |" for line in lines[:most]]
    more = [f"… and {len(lines) - most:,} more"] if len(lines) > most else []
    return "\n".join(head + body + more)


def _cell(value: object) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return (text if len(text) <= 120 else text[:119] + "…").replace("|", "\\|")


def together(*parts: str) -> str:
    """Join sentences that are not empty."""
    return " ".join(part for part in parts if part)
