"""The words people use for columns and sums, in English, German and French, and how words are compared.

All words stand here as `plain` returns them: lower case, without accents, spaces and signs.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

How = Literal["sum", "average", "median", "count", "distinct", "min", "max"]


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


def _set(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


def _singulars(*lines: str) -> frozenset[str]:
    return frozenset(singular(word) for word in _set(*lines))


THINGS: dict[str, tuple[frozenset[str], ...]] = {
    "revenue": (
        _singulars(
            "revenue revenues rev sales turnover income earnings gmv takings umsatz umsatze erlos erlose einnahmen",
            "chiffredaffaires ca ventes recettes",
        ),
        _singulars(
            "amount amt total linetotal ordertotal grandtotal subtotal totalprice value",
            "betrag gesamt gesamtbetrag summe wert montant",
        ),
        _singulars("gross net brutto netto"),
    ),
    "quantity": (_singulars("quantity qty quantite qte anzahl menge stuck units unitssold pieces pcs items volume"),),
    "price": (_singulars("unitprice price priceeach rate preis einzelpreis stuckpreis prix prixunitaire"),),
    "cost": (_singulars("cost costs expense spend spending cogs kosten ausgaben aufwand cout couts depenses"),),
    "profit": (_singulars("profit margin netincome gewinn marge benefice"),),
    "region": (_singulars("region area territory zone market state province gebiet bezirk bundesland"),),
    "country": (_singulars("country nation land pays"),),
    "city": (_singulars("city town stadt ort ville"),),
    "customer": (
        _singulars("customer client buyer account customername clientname kunde kundin kundenname acheteur"),
        _singulars("customerid clientid kundennr kundennummer"),
    ),
    "product": (
        _singulars("product item article goods ware productname artikel artikelname produkt produit"),
        _singulars("sku productid itemid artikelnr"),
    ),
    "category": (
        _singulars("category type group segment department class kategorie art gruppe warengruppe categorie"),
    ),
    "channel": (_singulars("channel source medium platform kanal canal"),),
    "employee": (_singulars("employee salesperson seller rep agent staff salesrep mitarbeiter verkaufer vendeur"),),
    "store": (_singulars("store shop branch outlet location filiale laden magasin"),),
    "status": (_singulars("status state stage zustand etat"),),
    "order": (
        _singulars(
            "order transaction invoice orderid ordernumber bestellung bestellungen bestellnr commande commandes"
        ),
    ),
    "date": (
        _singulars("date day time timestamp orderdate saledate transactiondate invoicedate"),
        _singulars("datum bestelldatum rechnungsdatum zeit"),
    ),
}
"""Words for one thing, best first: a column that is called by an earlier group is preferred."""

HOWS: dict[str, How] = {
    **dict.fromkeys(_set("total sum overall combined gesamt gesamter gesamte summe somme"), "sum"),
    **dict.fromkeys(_set("average mean avg typical durchschnitt durchschnittlicher durchschnittliche"), "average"),
    **dict.fromkeys(_set("moyenne moyen mittlerer mittlere"), "average"),
    "median": "median",
    **dict.fromkeys(_set("count number anzahl nombre"), "count"),
    **dict.fromkeys(_set("distinct unique different verschiedene"), "distinct"),
    **dict.fromkeys(_set("min lowest minimum smallest kleinster"), "min"),
    **dict.fromkeys(_set("max highest maximum largest biggest grosster"), "max"),
}
ROWS = _set("rows row records record entries entry lines line count number zeilen lignes eintrage datensatze")
NOISE = _set(
    "the a of our my all in per by and we did do does make made have has had i column",
    "der die das von spalte le la les des du colonne",
)
UNITS = _set("eur usd gbp chf euro in kg pct percent")
NOT_MONEY = _set(
    "id nr no number code tax vat mwst ust steuer tva discount rabatt remise shipping versand fee fees rate percent",
    "pct share quantity qty anzahl count units cost costs kosten price preis prix date growth target goal budget",
    "forecast plan",
)
IDS = _set(
    "id nr no code key zip plz postcode phone tel number index uuid guid sku ean isbn nummer year jahr month monat"
)
NUMBERED = _set("id nr no code")
LEVELS = _set(
    "rate rating score percent pct percentage ratio temperature temp humidity age note grade durchschnitt average avg"
)
DISCOUNTS = _set("discount rabatt remise")
DATE_RANK = tuple(
    word
    for line in (
        "orderdate order date datum saledate sale sold transaction invoice bestelldatum bestellung rechnungsdatum",
        "kaufdatum purchase created booked timestamp time",
    )
    for word in line.split()
)
"""Of several dates, the one that says when something was sold comes first."""
