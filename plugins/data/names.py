"""Which column a person means: by its name, by a word for the same thing (English, German, French), by a near miss.

Nothing is guessed in silence: every reading but the plain name is noted, and two equally good columns are a question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plugins.api import ToolFailure
from plugins.data import periods
from plugins.data.tables import Column, Table

How = Literal["sum", "average", "median", "count", "distinct", "min", "max"]

# Words for one thing, best first: a column of an earlier group is preferred. Written as `plain` returns them.
THINGS: dict[str, tuple[str, ...]] = {
    "revenue": (
        "revenue revenues rev sales turnover umsatz erlos erlose umsatze chiffredaffaires ca ventes income earnings gmv takings einnahmen recettes",
        "amount amt total betrag montant gesamt gesamtbetrag summe linetotal ordertotal grandtotal subtotal totalprice wert value",
        "gross net brutto netto",
    ),
    "quantity": ("quantity qty quantite anzahl menge units unitssold qte stuck pieces pcs items volume",),
    "price": ("unitprice price preis prix einzelpreis stuckpreis priceeach prixunitaire rate",),
    "cost": ("cost costs kosten cout couts expense expenses spend spending ausgaben depenses cogs aufwand",),
    "profit": ("profit margin gewinn marge benefice earnings netincome",),
    "region": ("region area territory gebiet bezirk zone market state province bundesland",),
    "country": ("country land pays nation",),
    "city": ("city town stadt ort ville",),
    "customer": (
        "customer client kunde kundin acheteur buyer account customername clientname kundenname",
        "customerid clientid kundennr kundennummer",
    ),
    "product": (
        "product item article artikel produkt produit sku goods ware productname artikelname",
        "productid itemid artikelnr",
    ),
    "category": ("category kategorie categorie type art group gruppe segment warengruppe department class",),
    "channel": ("channel kanal canal source medium platform",),
    "employee": ("employee salesperson seller vendeur verkaufer mitarbeiter rep agent staff salesrep",),
    "store": ("store shop filiale laden magasin branch outlet location",),
    "status": ("status state zustand etat stage",),
    "order": (
        "order orders bestellung bestellungen commande commandes transaction transactions invoice invoices orderid ordernumber bestellnr",
    ),
    "date": (
        "date datum day orderdate saledate transactiondate invoicedate bestelldatum rechnungsdatum time timestamp zeit",
    ),
}

HOWS: dict[str, How] = {
    **dict.fromkeys("total sum overall gesamt summe somme gesamter gesamte combined".split(), "sum"),
    **dict.fromkeys(
        "average mean avg durchschnitt durchschnittlicher durchschnittliche moyenne moyen typical".split(), "average"
    ),
    **dict.fromkeys(["median"], "median"),
    **dict.fromkeys("count number anzahl nombre".split(), "count"),
    **dict.fromkeys("distinct unique different verschiedene".split(), "distinct"),
    **dict.fromkeys("lowest minimum min smallest kleinster".split(), "min"),
    **dict.fromkeys("highest maximum max largest biggest grosster".split(), "max"),
}
ROWS = frozenset(
    "rows row records record entries entry lines line count number zeilen lignes eintrage datensatze".split()
)
_NOISE = frozenset(
    "the a of our my all der die das le la les des von du in per by by and column spalte colonne".split()
)
_NOT_MONEY = frozenset(
    "id nr no number code tax vat mwst ust steuer tva discount rabatt remise shipping versand fee fees rate percent pct share "
    "quantity qty anzahl count units cost costs kosten price preis prix date growth target goal budget forecast plan".split(),
)
_IDS = frozenset(
    "id nr no code key zip plz postcode phone tel number index uuid guid sku ean isbn nummer year jahr month monat".split()
)
_DATE_RANK = (
    "orderdate order date datum saledate sale sold transaction invoice bestelldatum bestellung rechnungsdatum kaufdatum purchase "
    "created booked timestamp time"
).split()


@dataclass(frozen=True, slots=True)
class Measure:
    """What is to be added up: a column, or the product of two, and how (None: as the caller asked)."""

    title: str
    column: Column | None
    times: Column | None = None
    how: How | None = None


def plain(name: str) -> str:
    """Reduce a name to its letters and digits, without case and accents: `Chiffre d'affaires` → `chiffredaffaires`."""
    text = unicodedata.normalize("NFKD", name.replace("ß", "ss")).casefold()
    return re.sub(r"[^\w]|_", "", "".join(char for char in text if not unicodedata.combining(char)))


def words(name: str) -> list[str]:
    """Split a name into words: `OrderDate`, `order_date`, `Umsatz (EUR)` → plain words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for part in re.split(r"[^\w]+|_", spaced) if (word := plain(part))]


def singular(word: str) -> str:
    """Reduce a plain word to its singular, roughly: enough to compare `regions` with `region`."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def is_measure(column: Column) -> bool:
    """True for numbers that it makes sense to add or average: not ids, codes or years."""
    return column.kind == "number" and not _IDS & set(words(column.name))


def find(table: Table, wanted: str, *, among: Sequence[Column] | None = None, what: str = "column") -> Column:
    """Return the column that `wanted` means; note how it was understood; raise ToolFailure when none or several fit."""
    columns = list(among if among is not None else table.all())
    for candidates in (
        _same(columns, wanted),
        _by_thing(columns, wanted),
        _containing(columns, wanted),
        _near(columns, wanted),
    ):
        if len(candidates) > 1:
            candidates = _filled_only(candidates)
        if len(candidates) > 1:
            raise ToolFailure(
                f"'{wanted}' could be {listed([c.name for c in candidates], 'or')} in {table.file}.",
                hint="Say which one, by its name.",
            )
        if candidates:
            column = candidates[0]
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
    shown = [f"{column.name} ({column.kind})" for column in table.all()[:30]]
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
    target = [singular(word) for word in words(wanted) if word not in _NOISE]
    return [c for c in columns if [singular(word) for word in words(c.name) if not _is_unit(word)] == target]


def _is_unit(word: str) -> bool:
    return word in {"eur", "usd", "gbp", "chf", "euro", "in", "kg", "pct", "percent"}


def _by_thing(columns: Sequence[Column], wanted: str) -> list[Column]:
    """Columns that are called by another word for the same thing, those of the best group only."""
    target = singular("".join(word for word in words(wanted) if word not in _NOISE))
    for thing, groups in THINGS.items():
        if not any(target == singular(word) for group in groups for word in group.split()):
            continue
        fitting = [c for c in columns if c.kind != "empty" and _may_be(thing, c)]
        for group in groups:
            spoken = {singular(word) for word in group.split()}
            found = [c for c in fitting if singular(plain(c.name)) in spoken]
            found = found or [c for c in fitting if _bare(c) in spoken]
            found = found or [c for c in fitting if spoken & {singular(word) for word in words(c.name)}]
            if found:
                return found
    return []


def _bare(column: Column) -> str:
    return singular("".join(word for word in words(column.name) if not _is_unit(word)))


def _may_be(thing: str, column: Column) -> bool:
    """Money must be numbers and no tax, discount or count; dates must be dates."""
    if thing == "revenue":
        return column.kind == "number" and not _NOT_MONEY & set(words(column.name))
    if thing in {"quantity", "price", "cost", "profit"}:
        return column.kind == "number" and not {"id", "nr", "no", "code"} & set(words(column.name))
    return column.kind == "date" if thing == "date" else column.kind != "date"


def _containing(columns: Sequence[Column], wanted: str) -> list[Column]:
    """Columns whose name has all the wanted words, or whose words are all wanted."""
    target = {singular(word) for word in words(wanted) if word not in _NOISE}
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
    short = [column for column in columns if len(plain(column.name)) > 2 and target.startswith(plain(column.name))]
    if short:
        return short
    scored = [(fuzz.ratio(target, plain(column.name)), column) for column in columns]
    best = max((score for score, _ in scored), default=0.0)
    return [column for score, column in scored if score == best] if best >= 84 and len(target) > 3 else []


def _filled_only(candidates: list[Column]) -> list[Column]:
    return [column for column in candidates if column.kind != "empty"] or candidates


# What is added up -----------------------------------------------------------------------------------------------------


def measure(table: Table, wanted: str) -> Measure:
    """Return what `wanted` asks to be counted, added or averaged, such as `revenue`, `average price`, `number of orders`."""
    if _named(table, wanted):
        return Measure(wanted, find(table, wanted))
    spoken = [word for word in words(wanted) if word not in _NOISE]
    how: How | None = HOWS.get(spoken[0]) if spoken else None
    rest = " ".join(spoken[1:] if how else spoken)
    if not rest or rest in ROWS:
        return Measure("rows", None, how="count")
    if how in {"count", "distinct"}:
        return _counted(table, rest)
    column, times = _money(table, rest)
    if column.kind == "number" or how in {"min", "max"}:
        return Measure(
            column.name if how is None and column.name == wanted else (rest if how else wanted), column, times, how
        )
    if column.kind in {"text", "date"}:
        return _counted(table, rest)
    raise ToolFailure(
        f"The column '{column.name}' of {table.file} is empty.", hint=f"Its columns are {inventory(table)}."
    )


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
        if any(singular(plain(wanted)) == singular(word) for group in THINGS["revenue"] for word in group.split()):
            product = _product(table, wanted)
            if product:
                return product
        only = [column for column in table.all() if is_measure(column)]
        if not table.sheet.headed and len(only) == 1:
            table.note(f"'{wanted}' was taken to be {only[0].name}, the only column of numbers.")
            return only[0], None
        raise


def _product(table: Table, wanted: str) -> tuple[Column, Column] | None:
    numbers = [column for column in table.all() if column.kind == "number"]
    quantities, prices = _by_thing(numbers, "quantity"), _by_thing(numbers, "price")
    prices = [column for column in prices if column not in quantities]
    if len(quantities) != 1 or len(prices) != 1:
        return None
    table.note(f"There is no column '{wanted}'; it was computed as '{quantities[0].name}' × '{prices[0].name}'.")
    for column in numbers:
        if {"discount", "rabatt", "remise"} & set(words(column.name)):
            table.note(f"The column '{column.name}' was not taken off.")
    return quantities[0], prices[0]


# What it is grouped by ------------------------------------------------------------------------------------------------


def period_in(wanted: str) -> tuple[periods.Period | None, str]:
    """Find the period that is asked for, and the date column that goes with it: `month of ship_date` → month, `ship date`."""
    if whole := periods.WORDS.get(singular(plain(wanted))) or periods.WORDS.get(plain(wanted)):
        return whole, ""
    parts = words(wanted)
    for index, word in enumerate(parts):
        if period := periods.WORDS.get(singular(word)):
            rest = [other for other in parts[:index] + parts[index + 1 :] if other not in _NOISE]
            return period, " ".join(rest)
    return None, ""


def date_column(table: Table, wanted: str = "") -> Column | None:
    """Return the date column that is named, or the one that says when things happened; note which of several."""
    found = [column for column in table.all() if column.kind == "date"]
    if wanted:
        named = _same(found, wanted) or _containing(found, wanted) or _near(found, wanted)
        return named[0] if named else None
    if len(found) > 1:
        found.sort(key=_date_rank)
        table.note(f"Of the dates {listed([column.name for column in found])}, '{found[0].name}' was used.")
    return found[0] if found else None


def _date_rank(column: Column) -> tuple[int, int]:
    own = {plain(column.name), *words(column.name)}
    rank = next((rank for rank, word in enumerate(_DATE_RANK) if word in own), len(_DATE_RANK))
    return rank, column.blank + column.bad
