"""Times of day as people say them: "at 8", "8:30 pm", "halb neun", "à 9h du soir", "at 8 and 17", with their zone."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from agent.automation import vocabulary as words
from agent.errors import ConfigError

BEFORE = r"(?P<at>(?:at|um|à|a|gegen|vers|about|around|by|в|во|к)\s+)?(?:about\s+|exactly\s+|punkt\s+)?"
LEADS = {
    **dict.fromkeys(("half past",), (0, 30)),
    **dict.fromkeys(("halb",), (-1, 30)),
    **dict.fromkeys(("quarter past", "a quarter past", "viertel nach"), (0, 15)),
    **dict.fromkeys(("quarter to", "a quarter to", "viertel vor"), (-1, 45)),
    **dict.fromkeys(("dreiviertel",), (-1, 45)),
}
TAILS = {"et demie": (0, 30), "et demi": (0, 30), "et quart": (0, 15), "moins le quart": (-1, 45)}
_TIME = (
    BEFORE
    + rf"(?:(?P<word>{words.one_of(words.CLOCK_WORDS)})\b"
    + rf"|(?:(?P<lead>{words.one_of(LEADS)})\s+)?(?P<hour>\d{{1,2}}|{words.one_of(words.NUMBER)}\b)"
    + r"(?:(?P<sep>:|\.|\s?h\s?|\s+uhr\s+)(?P<minute>\d{2})(?![\d.:]*\d))?"
    + r"(?:\s?(?P<half>[ap]\.?m\.?)(?!\w)|\s*(?P<unit>uhr|o['’]clock|heures?|hrs?|h|час(?:а|ов)?)\b)?"
    + rf"(?:\s+(?P<tail>{words.one_of(TAILS)})\b)?(?![\d%])(?!\w)"
    + rf"(?:\s+(?P<part>{words.one_of(words.TELLING_PARTS)})\b)?)"
)
MORE = re.compile(words.AND, re.IGNORECASE)
ZONE = re.compile(r"\s+\(?(?P<zone>[A-Z][A-Za-z]+(?:/[A-Z][A-Za-z_]+)+|UTC|GMT)\)?(?!\w)")
SHORT_ZONE = re.compile(rf"\s+\(?(?P<zone>{words.one_of(words.ABBREVIATIONS)})\)?(?!\w)")
CITY = re.compile(r"\s+\(?(?P<city>[A-Z][a-z]+(?:[ _][A-Z][a-z]+)?) time\)?(?!\w)")


@dataclass(frozen=True, slots=True)
class Clock:
    """One or more times of day found in a text, up to `end`.

    `half` says that it is known which half of the day is meant; `zone` is an IANA name, "" when none was named.
    """

    end: int
    times: tuple[tuple[int, int], ...]
    half: bool = False
    zone: str = ""

    def towards(self, part: str) -> Clock:
        """Return it as it is meant in a part of the day: 7 in the evening is 19."""
        if self.half or not part:
            return self
        return Clock(self.end, tuple((_in_part(hour, part), minute) for hour, minute in self.times), True, self.zone)


@functools.cache
def _time() -> re.Pattern[str]:
    """Compile the pattern when a text may hold a time."""
    return re.compile(_TIME, re.IGNORECASE)


def read(text: str, at: int) -> Clock | None:
    """Return the times that stand at `at`, None when none do. Raises ConfigError for a zone that may be several."""
    first = _one(text, at, bare=False)
    if first is None:
        return None
    times, half, end = [first[0]], first[1], first[2]
    while more := MORE.match(text, end):
        other = _one(text, more.end(), bare=True)
        if other is None:
            break
        times.append(other[0])
        half, end = half or other[1], other[2]
        if other[3]:
            times = [(_in_half(hour, other[3]), minute) for hour, minute in times[:-1]] + times[-1:]
    zone, end = _zone(text, end)
    return Clock(end, tuple(dict.fromkeys(times)), half or any(hour > 12 for hour, _ in times), zone)


def bare(text: str, at: int) -> tuple[tuple[int, int], int] | None:
    """Return a time that needs no word before it, as in "between 9 and 17", and where it ends."""
    found = _one(text, at, bare=True)
    return (found[0], found[2]) if found else None


def _one(text: str, at: int, *, bare: bool) -> tuple[tuple[int, int], bool, int, str] | None:
    """Return (hour, minute), whether its half of the day is said, where it ends, and am or pm."""
    found = _time().match(text, at)
    if found is None:
        return None
    if found["word"]:
        return (words.CLOCK_WORDS[found["word"].lower()], 0), True, found.end(), ""
    half, part = (found["half"] or "").lower().replace(".", ""), (found["part"] or "").lower()
    digital = found["minute"] and found["sep"].strip() != "."
    plain = found["hour"].isdigit()
    said = found["at"] or found["lead"] or half or part or digital or found["unit"]
    if not said and not (bare and plain):
        return None
    hour = int(found["hour"]) if plain else words.NUMBER[found["hour"].lower()]
    minute = int(found["minute"] or 0)
    if half and not 1 <= hour <= 12:
        return None
    back, extra = LEADS.get((found["lead"] or "").lower()) or TAILS.get((found["tail"] or "").lower(), (0, 0))
    if extra and minute:
        return None
    if extra:
        hour, minute = (hour + back) % (24 if hour > 12 else 12) or (12 if back + hour == 12 else 0), extra
    hour = _in_half(hour, half) if half else _in_part(hour, words.TELLING_PARTS.get(part, ""))
    return ((hour, minute), bool(half or part), found.end(), half) if hour <= 23 and minute <= 59 else None


def _in_half(hour: int, half: str) -> int:
    return hour % 12 + 12 * (half == "pm") if hour <= 12 else hour


def _in_part(hour: int, part: str) -> int:
    if part in {"afternoon", "evening"} and hour < 12:
        return hour + 12
    if part == "night":
        return hour + 12 if 6 <= hour < 12 else hour % 24 if hour != 12 else 0
    return hour


def _zone(text: str, end: int) -> tuple[str, int]:
    found = ZONE.match(text, end)
    if found is not None:
        return ("UTC" if found["zone"] == "GMT" else found["zone"]), found.end()
    short = SHORT_ZONE.match(text, end)
    if short is not None:
        said = f"“{short['zone']}” does not say which clock is meant, summer time included."
        raise ConfigError(said, hint="Name the place: “at 9 Europe/Vienna”, or “at 9 Vienna time”.")
    city = CITY.match(text, end)
    return (_zone_of(city["city"]), city.end()) if city is not None else ("", end)


def _zone_of(city: str) -> str:
    from zoneinfo import available_timezones

    wanted = city.replace(" ", "_").lower()
    found = sorted(name for name in available_timezones() if name.rpartition("/")[2].lower() == wanted and "/" in name)
    if not found:
        raise ConfigError(f"I don't know which time zone “{city} time” is.", hint="Name it like Europe/Vienna.")
    return found[0]
