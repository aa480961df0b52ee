"""Numbers as people write them: `1,234.50`, `€ 1.234,56`, `(12)`, `7'000`, `12 %`, `1.5M`.

What a lone separator means (`1.234`) is decided for a whole column, from all its cells, never cell by cell.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Mark = Literal[".", ","]

SYMBOLS = {"€": "€", "$": "$", "£": "£", "¥": "¥", "₹": "₹", "₽": "₽", "₺": "₺", "US$": "$", "CHF": "CHF", "FR.": "CHF"}
CODES = "EUR USD GBP CHF JPY CNY INR CAD AUD SEK NOK DKK PLN CZK HUF BRL MXN ZAR RUB TRY KRW SGD HKD NZD"
UNITS = {
    **SYMBOLS,
    **{code: code for code in CODES.split()},
    "%": "%",
    "KG": "kg",
    "KM": "km",
    "H": "h",
    "PCS": "",
    "STK": "",
}
UNITS |= {"STK.": "", "EURO": "€", "EUROS": "€", "EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
SCALES = {"k": 3, "K": 3, "M": 6, "Mio": 6, "Mio.": 6, "B": 9, "bn": 9, "Mrd": 9, "Mrd.": 9}
BLANKS = frozenset(
    (
        "",
        "-",
        "–",
        "—",
        "--",
        "n/a",
        "na",
        "#n/a",
        "null",
        "none",
        "nan",
        "nil",
        "?",
        "(null)",
        "k.a.",
        "n.a.",
        "#wert!",
    ),
)

PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_ANY = re.compile(
    r"(?P<open>\()?(?P<sign>[-+])?(?P<pre>[A-Za-z$€£¥₹₽₺]{1,3}[$.]?)?(?P<sign2>[-+])?"
    r"(?P<digits>[0-9][0-9.,']*|[.,][0-9]+)(?P<exp>[eE][-+]?[0-9]{1,2})?"
    r"(?P<scale>k|K|Mio\.?|Mrd\.?|M|bn|B)?(?P<inner>\))?(?P<post>[A-Za-z%€$£¥₹₽₺]{1,5}\.?)?(?P<trail>-)?(?P<close>\))?",
)
_SPACES = re.compile(r"\s+")
_GROUP_OF_THREE = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{3})+")


@dataclass(frozen=True, slots=True)
class Written:
    """A number as written: sign, digits with their separators, power of ten, unit."""

    negative: bool
    digits: str
    power: int
    unit: str


@dataclass(frozen=True, slots=True)
class Style:
    """How a column writes its numbers. `note` says what was assumed where the data left it open."""

    decimal: Mark
    note: str = ""


def is_blank(cell: object) -> bool:
    """Return True for cells that say "nothing here": empty, `n/a`, `-`, `null` and the like."""
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in BLANKS)


def written(cell: str) -> Written | None:
    """Take a cell apart, or return None when it is no number."""
    text = cell.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2212", "-").replace("’", "'")
    match = _ANY.fullmatch(_SPACES.sub("", text))
    if match is None or bool(match["open"]) != bool(match["close"] or match["inner"]):
        return None
    if _SPACES.search(text) and not _spaced_well(text):
        return None
    units = [part for part in (match["pre"], match["post"]) if part]
    if any(part.upper() not in UNITS for part in units):
        return None
    minus = [match["sign"], match["sign2"], match["trail"]].count("-") + bool(match["open"])
    power = SCALES.get(match["scale"] or "", 0) + int((match["exp"] or "e0")[1:])
    return Written(minus % 2 == 1, match["digits"].replace("'", ""), power, UNITS[units[0].upper()] if units else "")


def _spaced_well(text: str) -> bool:
    """Spaces between digits may only set off groups of three: `1 234,5`, not the phone number `030 12 34`."""
    runs = re.findall(r"[0-9.,']+(?:\s+[0-9.,']+)*", text)
    if len(runs) != 1:
        return False
    first, *rest = runs[0].split()
    return not rest or (len(first) <= 3 and all(re.fullmatch(r"[0-9]{3}(?:[.,][0-9]+)?", part) for part in rest))


def decide(found: Iterable[Written], *, comma_likely: bool = False) -> Style:
    """Decide from all numbers of a column whether `.` or `,` is its decimal mark.

    `comma_likely` is what the file suggests (semicolons between its columns); it settles what the column leaves open.
    """
    votes: Counter[Mark] = Counter()
    unclear: dict[Mark, str] = {}
    largest_bare = 0
    for number in found:
        digits = number.digits
        if "." not in digits and "," not in digits:
            largest_bare = max(largest_bare, int(digits) if len(digits) < 19 else 10**18)
            continue
        vote = _vote(digits)
        if vote is None:
            unclear.setdefault("." if "." in digits else ",", digits)
        else:
            votes[vote] += 1
    if votes:
        return Style(votes.most_common(1)[0][0])
    return _assume(unclear, largest_bare, comma_likely=comma_likely)


def _vote(digits: str) -> Mark | None:
    """Return the decimal mark that these digits prove, or None."""
    dot, comma = digits.rfind("."), digits.rfind(",")
    if dot >= 0 and comma >= 0:
        return "." if dot > comma else ","
    mark: Mark = "." if dot >= 0 else ","
    other: Mark = "," if mark == "." else "."
    if digits.count(mark) > 1:
        return other
    if not _GROUP_OF_THREE.fullmatch(digits) or digits.startswith("0"):
        return mark
    return None


def _assume(unclear: dict[Mark, str], largest_bare: int, *, comma_likely: bool) -> Style:  # noqa: PLR0911  # one return per case
    """Only cells like `1.234` are there: small whole numbers beside them mean thousands, else go by custom."""
    if not unclear:
        return Style("," if comma_likely else ".")
    if len(unclear) == 2:  # `1.234` beside `1,234`: no style explains both; read both as thousands would be a guess too
        return Style("," if comma_likely else ".", "it mixes '.' and ',' in its numbers")
    mark, sample = next(iter(unclear.items()))
    other: Mark = "," if mark == "." else "."
    if largest_bare >= 1000:
        return Style(mark)
    if 0 < largest_bare < 1000:
        return Style(other, f"'{sample}' was read with '{mark}' between thousands")
    if mark == "," and not comma_likely:
        return Style(".", f"'{sample}' was read with ',' between thousands")
    if mark == "." and comma_likely:
        return Style(",", f"'{sample}' was read with '.' between thousands")
    return Style(mark, f"'{sample}' was read with '{mark}' as the decimal mark")


def value_of(number: Written, style: Style) -> tuple[float, int] | None:
    """Return (value, decimals) or None when the digits fit neither reading, such as `1.23.4`."""
    digits = number.digits
    mark = _vote(digits) or style.decimal
    whole, _, fraction = digits.rpartition(mark) if mark in digits else (digits, "", "")
    grouped = "," if mark == "." else "."
    if mark in whole or grouped in fraction or not _grouped_well(whole, grouped):
        return None
    try:
        value = float(f"{whole.replace(grouped, '') or '0'}.{fraction or '0'}e{number.power}")
    except ValueError:
        return None
    return (-value if number.negative else value), max(len(fraction) - number.power, 0)


def _grouped_well(whole: str, mark: str) -> bool:
    first, *rest = whole.split(mark)
    # India groups by two before the last three, so only the last group must be three long.
    return not rest or (bool(first) and len(rest[-1]) == 3 and all(len(part) in {2, 3} for part in rest))


def typed(cell: Any) -> tuple[float, int] | None:
    """Return (value, decimals) of a cell that already is a number (Excel, JSON, Parquet), else None."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, int):
        return float(cell), 0
    if isinstance(cell, Decimal):
        exponent = cell.as_tuple().exponent
        return (float(cell), max(-exponent, 0)) if isinstance(exponent, int) else None
    if isinstance(cell, float) and math.isfinite(cell):  # not NaN
        text = repr(cell)
        return cell, 99 if "e-" in text else (0 if cell.is_integer() else len(text.partition(".")[2]))
    return None


@dataclass(frozen=True, slots=True)
class Read:
    """What a column's distinct cells are as numbers: value and decimals or None each, the units met, and the style."""

    found: tuple[tuple[float, int] | None, ...]
    units: tuple[str, ...]
    style: Style


def read(cells: Sequence[Any], *, comma_likely: bool = False) -> Read:
    """Read the distinct cells of a column as numbers. Blank cells give None like unreadable ones."""
    parts: list[Written | None] = []
    for cell in cells:
        if isinstance(cell, str):
            parts.append(None if is_blank(cell) or _is_code(cell) else written(cell))
        else:
            parts.append(None)
    numbers = [part for part in parts if part]
    style = decide(numbers, comma_likely=comma_likely)
    found = tuple(value_of(part, style) if part else typed(cell) for cell, part in zip(cells, parts, strict=True))
    units = tuple(unit for unit, _ in Counter(part.unit for part in numbers if part.unit).most_common())
    return Read(found, units, style)


def _is_code(cell: str) -> bool:
    """`00123` is a code (postcode, article number), not a number."""
    text = cell.strip()
    return len(text) > 1 and text[0] == "0" and text.isdigit()
