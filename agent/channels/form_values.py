"""What a person may type into a field of a plugin's form: checked, and written as the tool wants it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from agent.errors import DirigentError
from agent.texts import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST = 2000
DAYS = {
    "today": 0,
    "tomorrow": 1,
    "yesterday": -1,
    "heute": 0,
    "morgen": 1,
    "gestern": -1,
    "aujourd'hui": 0,
    "demain": 1,
    "hier": -1,
    "сегодня": 0,
    "завтра": 1,
    "вчера": -1,
    "今天": 0,
    "明天": 1,
    "昨天": -1,
}
DAY_FIRST = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})")
YEAR_FIRST = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?")
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")


class Unfit(DirigentError):
    """What was typed does not fit the field."""


@dataclass(frozen=True, slots=True)
class Given:
    """What came as an answer: the words, the files that came along, by their names in the workspace."""

    text: str = ""
    files: tuple[str, ...] = ()


def value_of(field: Mapping[str, Any], given: Given, offered: Sequence[str], today: date, language: str) -> str:
    """Return the value of a field as text; `offered` are the buttons' values, chosen also by number or in words.

    Numbers have a point, dates are `2026-12-24`, files are names in the workspace. Raises Unfit with what would do.
    """
    text = given.text.strip()
    kind = field["kind"]
    if kind == "file":
        return _file(given.files, text, offered, language)
    if not text:
        raise Unfit(say(language, "Type something, or press a button."))
    if len(text) > LONGEST:
        raise Unfit(say(language, "This is longer than {n} characters.", n=LONGEST))
    if kind == "number":
        return _number(text, language)
    if kind == "date":
        return _date(text, today, language)
    return _choice(text, offered, language) if kind == "choice" else text


def _number(text: str, language: str) -> str:
    plain = text.replace(" ", "").replace("\u202f", "")
    if not NUMBER.fullmatch(plain):
        raise Unfit(say(language, "“{text}” is no number. Type one such as 12 or 3.5.", text=text[:60]))
    return plain.replace(",", ".")


def _date(text: str, today: date, language: str) -> str:
    if text.casefold() in DAYS:
        return (today + timedelta(days=DAYS[text.casefold()])).isoformat()
    found = YEAR_FIRST.fullmatch(text)
    parts = found.groups() if found else None
    if parts is None and (found := DAY_FIRST.fullmatch(text)):
        parts = (found[3], found[2], found[1])
    try:
        return date(*(int(part) for part in parts or ())).isoformat() if parts else date.fromisoformat(text).isoformat()
    except ValueError:
        raise Unfit(say(language, "“{text}” is no date. Type one such as 2026-12-24.", text=text[:60])) from None


def _choice(text: str, offered: Sequence[str], language: str) -> str:
    number = text.rstrip(".)")
    if number.isdecimal() and text not in offered and 1 <= int(number) <= len(offered):
        return offered[int(number) - 1]
    same = [choice for choice in offered if choice.casefold() == text.casefold()]
    if not same:
        listed = ", ".join(offered)
        raise Unfit(say(language, "“{text}” is none of the choices: {listed}.", text=text[:60], listed=listed))
    return same[0]


def _file(files: Sequence[str], text: str, there: Sequence[str], language: str) -> str:
    if files:
        return files[0]
    plain = text.strip("`\"' ").casefold()
    same = [name for name in there if plain in {name.casefold(), name.rpartition("/")[2].casefold()}]
    if not same:
        raise Unfit(
            say(language, "There is no file “{text}” here. Send it, or type the name of one that is.", text=text[:60])
            if text
            else say(language, "Send a file, or type the name of one that is here.")
        )
    return same[0]


def command_line(command: str, values: Mapping[str, str]) -> str:
    """Return the words that run a command with these values: `/convert_file path="a b.csv" to=json`."""
    return " ".join([f"/{command}", *(f"{name}={_quoted(value)}" for name, value in values.items())])


def _quoted(value: str) -> str:
    if value and not re.search(r"[\s\"']", value):
        return value
    if '"' not in value:
        return f'"{value}"'
    return f"'{value}'" if "'" not in value else '"{}"'.format(value.replace('"', "”"))
