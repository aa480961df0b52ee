"""Which column a person means: by its name, by a word for the same thing (English, German, French), by a near miss.

Nothing is guessed in silence: every reading but the plain name is noted, and two equally good columns are a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugins.api import ToolFailure
from plugins.data import periods
from plugins.data.tables import Column, Table
from plugins.data.vocabulary import (
    DATE_RANK,
    DISCOUNTS,
    HOWS,
    IDS,
    NOISE,
    NOT_MONEY,
    NUMBERED,
    ROWS,
    THINGS,
    UNITS,
    How,
    plain,
    singular,
    words,
)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is to be added up: a column, or the product of two, and how (None: as the caller asked)."""

    title: str
    column: Column | None
    times: Column | None = None
    how: How | None = None


def is_measure(column: Column) -> bool:
    """True for numbers that it makes sense to add or average: not ids, codes or years."""
    return column.kind == "number" and not IDS & set(words(column.name))


def find(table: Table, wanted: str, *, among: Sequence[Column] | None = None, what: str = "column") -> Column:
    """Return the column that `wanted` means; note how it was understood; raise ToolFailure when none or several fit."""
    columns = list(among if among is not None else table.sketches())
    for found in (
        _same(columns, wanted),
        _by_thing(columns, wanted),
        _containing(columns, wanted),
        _near(columns, wanted),
    ):
        candidates = _filled_only(found)
        if len(candidates) > 1:
            raise ToolFailure(
                f"'{wanted}' could be {listed([c.name for c in candidates], 'or')} in {table.file}.",
                hint="Say which one, by its name.",
            )
        if candidates:
            column = table.column(candidates[0].name)
            if singular(plain(column.name)) != singular(plain(wanted)):
                table.note(f"'{wanted}' was taken to be the column '{column.name}'.")
            return column
    raise missing(table, wanted, what)


def missing(table: Table, wanted: str, what: str = "column") -> ToolFailure:
    """Return the failure that names the columns which are there."""
    from rapidfuzz import process

    close = process.extractOne(wanted, table.names, score_cutoff=60)
    guess = f" Did you mean '{close[0]}'?" if close else ""
    return ToolFailure(
        f"There is no {what} '{wanted}' in {table.file}.{guess}", hint=f"Its columns are {inventory(table)}."
    )


def inventory(table: Table) -> str:
    """Return the columns and their kinds: `date (date), region (text), …`."""
    shown = [f"{column.name} ({column.kind})" for column in table.sketches()[:30]]
    more = f" and {len(table.names) - 30} more" if len(table.names) > 30 else ""
    return ", ".join(shown) + more


def listed(names: Sequence[str], joint: str = "and") -> str:
    """Return `'a', 'b' and 'c'`."""
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {joint} {quoted[-1]}"


def _same(columns: Sequence[Column], wanted: str) -> list[Column]:
    """The same name; failing that, the same but for plural, filler words and units."""
    exact = [column for column in columns if column.name == wanted] or [
        c for c in columns if plain(c.name) == plain(wanted)
    ]
    if exact:
        return exact[:1]
    target = [singular(word) for word in words(wanted) if word not in NOISE]
    return [c for c in columns if [singular(word) for word in words(c.name) if word not in UNITS] == target]


def _by_thing(columns: Sequence[Column], wanted: str) -> list[Column]:
    """Columns that are called by another word for the same thing, those of the best group only."""
    target = singular("".join(word for word in words(wanted) if word not in NOISE))
    for thing, groups in THINGS.items():
        if not any(target in group for group in groups):
            continue
        fitting = [c for c in columns if c.kind != "empty" and _may_be(thing, c)]
        for spoken in groups:
            found = [c for c in fitting if singular(plain(c.name)) in spoken]
            found = found or [c for c in fitting if _bare(c) in spoken]
            found = found or [c for c in fitting if spoken & {singular(word) for word in words(c.name)}]
            if found:
                return found
    return []


def _bare(column: Column) -> str:
    return singular("".join(word for word in words(column.name) if word not in UNITS))


def _may_be(thing: str, column: Column) -> bool:
    """Money must be numbers and no tax, discount or count; dates must be dates."""
    if thing == "revenue":
        return column.kind == "number" and not NOT_MONEY & set(words(column.name))
    if thing in {"quantity", "price", "cost", "profit"}:
        return column.kind == "number" and not NUMBERED & set(words(column.name))
    return column.kind == "date" if thing == "date" else column.kind != "date"


def _containing(columns: Sequence[Column], wanted: str) -> list[Column]:
    """Columns whose name has all the wanted words, or whose words are all wanted."""
    target = {singular(word) for word in words(wanted) if word not in NOISE}
    if not target:
        return []
    named = [(column, {singular(word) for word in words(column.name)}) for column in columns]
    return [c for c, own in named if target <= own] or [
        c for c, own in named if own and own <= target and min(map(len, own)) > 2
    ]


def _near(columns: Sequence[Column], wanted: str) -> list[Column]:
    """Columns whose name is cut short (`rev`, `prod`) or a slip of the pen away."""
    from rapidfuzz import fuzz

    target = plain(wanted)
    cut = [(plain(column.name), column) for column in columns]
    short = [column for name, column in cut if len(name) > 2 and target.startswith(name) and name not in {*HOWS, *ROWS}]
    if short:
        return short
    scored = [(fuzz.ratio(target, plain(column.name)), column) for column in columns]
    best = max((score for score, _ in scored), default=0.0)
    return [column for score, column in scored if score == best] if best >= 84 and len(target) > 3 else []


def _filled_only(candidates: list[Column]) -> list[Column]:
    return [column for column in candidates if column.kind != "empty"] or candidates[:1]


# What is added up -----------------------------------------------------------------------------------------------------


def measure(table: Table, wanted: str) -> Measure:
    """Return what `wanted` asks for, such as `revenue`, `average price`, `number of orders`."""
    if _named(table, wanted):
        return Measure(wanted, find(table, wanted))
    spoken = [word for word in words(wanted) if word not in NOISE]
    how: How | None = HOWS.get(spoken[0]) if spoken else None
    rest = " ".join(spoken[1:] if how else spoken)
    if not rest or rest in ROWS:
        return Measure("rows", None, how="count")
    if how in {"count", "distinct"}:
        return _counted(table, rest)
    column, times = _money(table, rest)
    if column.kind == "number" or how in {"min", "max"}:
        return Measure(_title(column, rest if how else wanted), column, times, how)
    if column.kind in {"text", "date"}:
        return _counted(table, rest)
    raise ToolFailure(
        f"The column '{column.name}' of {table.file} is empty.", hint=f"Its columns are {inventory(table)}."
    )


def _title(column: Column, wanted: str) -> str:
    """Keep the person's word where it is one; a slip of the pen gives way to the column's name."""
    target = singular(plain(wanted))
    known = any(target in spoken for groups in THINGS.values() for spoken in groups)
    return wanted if known or target == singular(plain(column.name)) else column.name


def _named(table: Table, wanted: str) -> bool:
    return any(plain(name) == plain(wanted) for name in table.names)


def _counted(table: Table, rest: str) -> Measure:
    """Count a thing by its distinct names where a column has them, else the rows."""
    try:
        column = find(table, rest)
    except ToolFailure:
        table.note(f"There is no column '{rest}'; the rows were counted.")
        return Measure(rest, None, how="count")
    table.note(f"The different values of '{column.name}' were counted.")
    return Measure(rest, column, how="distinct")


def _money(table: Table, wanted: str) -> tuple[Column, Column | None]:
    """Return the column, or for revenue without a column of its own quantity and unit price."""
    try:
        return find(table, wanted), None
    except ToolFailure as failure:
        if "could be" in failure.message:
            raise
        if any(singular(plain(wanted)) in spoken for spoken in THINGS["revenue"]):
            product = _product(table, wanted)
            if product:
                return product
        _refuse_text(table, wanted)
        only = [column for column in table.sketches() if is_measure(column)]
        if not table.sheet.headed and len(only) == 1:
            table.note(f"'{wanted}' was taken to be {only[0].name}, the only column of numbers.")
            return table.column(only[0].name), None
        raise


def _refuse_text(table: Table, wanted: str) -> None:
    """A column that is called so, but whose cells can't be read as numbers, is named."""
    target = singular(plain(wanted))
    for groups in THINGS.values():
        spoken = next((spoken for spoken in groups if target in spoken), None)
        for column in table.sketches() if spoken else ():
            if column.kind == "text" and _bare(column) in (spoken or ()):
                sample = next((text for text in column.texts() if text), "")
                raise ToolFailure(
                    f"'{column.name}' of {table.file} can't be read as numbers (such as '{sample[:40]}').",
                    hint=f"Its columns are {inventory(table)}.",
                )


def _product(table: Table, wanted: str) -> tuple[Column, Column] | None:
    numbers = [column for column in table.sketches() if column.kind == "number"]
    quantities, prices = _by_thing(numbers, "quantity"), _by_thing(numbers, "price")
    prices = [column for column in prices if column not in quantities]
    if len(quantities) != 1 or len(prices) != 1:
        return None
    table.note(f"There is no column '{wanted}'; it was computed as '{quantities[0].name}' × '{prices[0].name}'.")
    for column in numbers:
        if DISCOUNTS & set(words(column.name)):
            table.note(f"The column '{column.name}' was not taken off.")
    return table.column(quantities[0].name), table.column(prices[0].name)


# What it is grouped by ------------------------------------------------------------------------------------------------


def period_in(wanted: str) -> tuple[periods.Period | None, str]:
    """Find the period, and the date column that is named with it: `month of ship_date` → month, `ship date`."""
    if whole := periods.WORDS.get(singular(plain(wanted))) or periods.WORDS.get(plain(wanted)):
        return whole, ""
    parts = words(wanted)
    for index, word in enumerate(parts):
        if period := periods.WORDS.get(singular(word)):
            rest = [other for other in parts[:index] + parts[index + 1 :] if other not in NOISE]
            return period, " ".join(rest)
    return None, ""


def date_column(table: Table, wanted: str = "") -> Column | None:
    """Return the date column that is named, or the one that says when things happened; note which of several."""
    found = [column for column in table.sketches() if column.kind == "date"]
    if wanted:
        named = _same(found, wanted) or _containing(found, wanted) or _near(found, wanted)
        return table.column(named[0].name) if named else None
    if len(found) > 1:
        found.sort(key=_date_rank)
        table.note(f"Of the dates {listed([column.name for column in found])}, '{found[0].name}' was used.")
    return table.column(found[0].name) if found else None


def _date_rank(column: Column) -> tuple[int, int]:
    own = {plain(column.name), *words(column.name)}
    rank = next((rank for rank, word in enumerate(DATE_RANK) if word in own), len(DATE_RANK))
    return rank, column.blank + column.bad
