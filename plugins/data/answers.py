"""What `aggregate` and `best` answer: a table, a sentence, and what a person should know about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugins.api import Output, ToolFailure
from plugins.data import periods, totals
from plugins.data.totals import Question, Totals
from plugins.data.wording import share, table, together

HIGHEST = frozenset(("best", "highest", "most", "top", "largest", "strongest", "maximum", "max"))
LOWEST = frozenset(("worst", "lowest", "least", "bottom", "smallest", "weakest", "minimum", "min"))


def aggregate(asked: Question, top: int) -> Output:
    """Answer with `y` per `by` as a table."""
    found = totals.compute(asked)
    if not asked.by.strip():
        return _single(found, asked.where)
    shown = found
    if top > 0:
        order = sorted(range(len(found.values)), key=lambda i: _rank(found, i), reverse=True)[:top]
        shown = totals.select(found, order)
    lines = [(label, found.show(value)) for label, value in zip(shown.groups.labels, shown.values, strict=True)]
    kept = f" where {asked.where}" if asked.where else ""
    over = f"{found.phrase.capitalize()} by {found.groups.noun}{kept}"
    whole = f", {found.show(found.total)} in all" if found.adds_up and len(found.values) > 1 else ""
    limit = (
        f"; the top {len(shown.values)} of {len(found.values)} are shown"
        if len(shown.values) < len(found.values)
        else ""
    )
    text = f"{over} ({counted(found)}{whole}{limit}):\n\n{table((found.groups.noun, found.phrase), lines)}"
    return Output(value=value_of(shown, found), text="\n\n".join([text, *found.notes]))


def _single(found: Totals, where: str) -> Output:
    kept = f" where {where}" if where else ""
    text = f"{found.phrase.capitalize()}{kept}: {found.show(found.total)} (from {found.used:,} rows)."
    value = {"value": found.total, "measure": found.phrase, "rows_used": found.used, "unit": found.unit}
    return Output(value=value, text=together(text, *found.notes))


def counted(found: Totals) -> str:
    """Return `12 months`, `1 region`."""
    number = len(found.values)
    return f"{number:,} {found.groups.noun if number == 1 else periods.plural(found.groups.noun)}"


def value_of(shown: Totals, whole: Totals) -> dict[str, Any]:
    """Return the totals as JSON: rows with the group's key, label and value; and the total over all groups."""
    pairs = zip(shown.groups.keys, shown.groups.labels, shown.values, shown.counts, strict=True)
    return {
        "measure": whole.phrase,
        "by": whole.groups.noun,
        "unit": whole.unit,
        "total": whole.total,
        "rows_used": whole.used,
        "rows": [{"key": key, "label": label, "value": value, "count": count} for key, label, value, count in pairs],
        "notes": list(whole.notes),
    }


def _rank(found: Totals, index: int) -> float:
    value = found.values[index]
    return float("-inf") if value is None else value


def best(asked: Question, which: str) -> Output:
    """Answer with the group that has the most or the least; both when `by` says `month and the worst month`."""
    second, by = _sides(asked.by, which)
    if not by:
        raise ToolFailure(
            "It isn't said what the best is looked for among.", hint="Name a column or a period, such as month."
        )
    found = totals.compute(replace(asked, by=by))
    text, value = _side(found, which)
    if second:
        also, value["also"] = _side(found, second)
        text = together(text, also)
    value["notes"] = list(found.notes)
    return Output(value=value, text=together(text, *found.notes))


def _sides(by: str, which: str) -> tuple[str, str]:
    """Return what is asked as well (or "") and the group: `month and the worst month` asks for the worst, too."""
    other = HIGHEST if which.casefold() in LOWEST else LOWEST
    spoken = by.split()
    second = next((word for word in spoken if word.casefold() in other), "")
    if not second or len(spoken) < 2:
        return "", by.strip()
    kept = [word for word in spoken if word.casefold() not in {*other, "and", "the", "&", "und", "et"}]
    return second.casefold(), " ".join(dict.fromkeys(kept))


def _side(found: Totals, which: str) -> tuple[str, dict[str, Any]]:
    """Return the sentences and the value for one end of the ranking."""
    lowest = which.casefold() in LOWEST
    known = [index for index, value in enumerate(found.values) if value is not None]
    ranked = sorted(known, key=lambda index: found.values[index] or 0, reverse=not lowest)
    ties = [index for index in ranked if found.values[index] == found.values[ranked[0]]]
    word = {"best": "Best", "worst": "Worst"}.get(which.casefold(), "Lowest" if lowest else "Highest")
    head = _headline(found, ties, f"{word} {found.groups.noun}")
    text = together(head, _next(found, ranked, ties), _partly(found, ranked, lowest=lowest))
    return text, _side_value(found, ranked, ties, lowest=lowest)


def _side_value(found: Totals, ranked: list[int], ties: list[int], *, lowest: bool) -> dict[str, Any]:
    first = ranked[0]
    value = found.values[first]
    after = next((index for index in ranked if index not in ties), None)
    return {
        "key": found.groups.keys[first],
        "label": found.groups.labels[first],
        "value": value,
        "unit": found.unit,
        "measure": found.phrase,
        "by": found.groups.noun,
        "which": "worst" if lowest else "best",
        "total": found.total,
        "share": float(value or 0) / float(found.total) if found.adds_up and found.total else None,
        "ties": [found.groups.labels[index] for index in ties[1:]],
        "next": None if after is None else {"label": found.groups.labels[after], "value": found.values[after]},
        "groups": len(found.values),
        "rows_used": found.used,
    }


def _headline(found: Totals, ties: list[int], word: str) -> str:
    value = found.show(found.values[ties[0]])
    labels = [found.groups.labels[i] for i in ties[:5]]
    if len(ties) > 1:
        more = f" and {len(ties) - 5} more" if len(ties) > 5 else ""
        return f"{word}: {', '.join(labels)}{more} share first place with {found.phrase} {value} each."
    return f"{word}: {labels[0]} with {found.phrase} {value}{_part(found, ties[0])}."


def _part(found: Totals, index: int) -> str:
    """How the group stands to all of them."""
    if len(found.values) < 2:
        return f" (the only {found.groups.noun})"
    if found.adds_up and found.total:
        part = share(float(found.values[index] or 0), float(found.total))
        return f" ({part} of the total {found.show(found.total)} over {counted(found)})"
    if found.how in {"average", "median"}:
        return f" (over all {counted(found)}: {found.show(found.total)})"
    return f" (of {counted(found)})"


def _next(found: Totals, ranked: list[int], ties: list[int]) -> str:
    index = next((i for i in ranked if i not in ties), None)
    if index is None:
        return ""
    return f"Next is {found.groups.labels[index]} with {found.show(found.values[index])}."


def _partly(found: Totals, ranked: list[int], *, lowest: bool) -> str:
    """A period that the data covers only in part may not be fairly compared; say so where it matters."""
    if found.how not in {"sum", "count", "distinct"}:
        return ""
    partly = totals.incomplete(found)
    days = totals.extent(found)
    if ranked[0] not in partly or days is None:
        return ""
    first, last = (periods.label(periods.number(day, "day"), "day") for day in days)
    text = f"The data runs from {first} to {last}, so {found.groups.labels[ranked[0]]} is not complete."
    complete = next((i for i in ranked if i not in partly), None)
    if complete is None or not lowest:
        return text
    label, value = found.groups.labels[complete], found.show(found.values[complete])
    return f"{text} Among complete {periods.plural(found.groups.noun)} it is {label} with {value}."


def summary(found: Totals) -> str:
    """Return one sentence on the highest and lowest group, for below a chart."""
    ranked = sorted((i for i, v in enumerate(found.values) if v is not None), key=lambda i: found.values[i] or 0)
    if len(ranked) < 2:
        return ""
    high, low = ranked[-1], ranked[0]
    return (
        f"Highest: {found.groups.labels[high]} ({found.show(found.values[high])}); "
        f"lowest: {found.groups.labels[low]} ({found.show(found.values[low])})."
    )
