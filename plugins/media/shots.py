"""A shot as it is written down, and what its words say: where, when, who, how near, from which side."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugins.api import ToolFailure
from plugins.media.vocabulary import ANGLES, HAND, INSIDE, LIGHTS, MOVES, NUMBERS, PEOPLE, PLACES, SIZES, THINGS

DEFAULT_SECONDS = 3.0
LONGEST = 120.0
MAX_TEXT = 2_000


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot. `seconds` is its length; `size`, `angle` and `camera` are words as a film crew writes them."""

    number: str = ""
    description: str = ""
    heading: str = ""
    size: str = ""
    camera: str = ""
    dialogue: str = ""
    seconds: float = DEFAULT_SECONDS
    characters: tuple[str, ...] = ()
    style: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any], place: int = 0) -> Shot:
        """Read a shot from a record whose texts may be missing; raises ToolFailure for one that says nothing."""
        texts = {
            name: _text(given.get(name)) for name in ("description", "heading", "size", "camera", "dialogue", "style")
        }
        if not any(texts.values()):
            raise ToolFailure(f"Shot {place + 1} says nothing.", hint="Give it a description.")
        people = given.get("characters") or ()
        names = people.split(",") if isinstance(people, str) else people
        return cls(
            number=_text(given.get("number") or given.get("shot")) or str(place + 1),
            seconds=_seconds(given.get("seconds"), place),
            characters=tuple(filter(None, (_text(name) for name in names))),
            **texts,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a picture of a shot shows, found in its words. `seed` makes the same shot look the same each time."""

    light: str
    weather: str
    place: str
    inside: bool
    size: str
    angle: str
    move: str
    figures: int
    things: tuple[str, ...] = ()
    hand: bool = False
    names: tuple[str, ...] = field(default=())
    seed: int = 0


def seen(shot: Shot) -> Seen:
    """Work out what a shot shows. Words of the heading count most: `EXT. LIGHTHOUSE - NIGHT`."""
    words, heading = f" {shot.description} {shot.camera} ", f" {shot.heading} "
    inside = bool(INSIDE.search(heading))
    place = _first(PLACES, heading) or _first(PLACES, words) or ("room" if inside else "field")
    if inside and place not in {"room", "corridor", "lab", "space"}:
        place = "room"
    light = _first({name: LIGHTS[name] for name in ("night", "dusk", "dawn", "day")}, heading)
    said = _first(LIGHTS, words) or ""
    weather = said if said in {"storm", "fog", "snow", "rain", "red"} else _first(LIGHTS, heading) or ""
    size = _first(SIZES, f" {shot.size} ") or _first(SIZES, words) or "ms"
    return Seen(
        light=light or (said if said in {"night", "dusk", "dawn", "day"} else "day"),
        weather=weather if weather in {"storm", "fog", "snow", "rain", "red"} else "",
        place=place,
        inside=inside or place in {"room", "corridor", "lab"},
        size=size,
        angle=_first(ANGLES, f" {shot.size} {words}") or "eye",
        move=_first(MOVES, f" {shot.camera} ") or _first(MOVES, words) or "",
        figures=_figures(shot, words, size),
        things=tuple(name for name, stems in THINGS.items() if _has(stems, words) or _has(stems, heading)),
        hand=_has(HAND, words),
        names=shot.characters,
        seed=zlib.crc32(f"{shot.heading}|{shot.description}".encode()),
    )


def _figures(shot: Shot, words: str, size: str) -> int:
    if size == "insert":
        return 0
    named = [name for name in shot.characters if name.casefold() in words.casefold()]
    count = len(named) or (len(shot.characters) if size in {"two", "ots", "ws", "fs"} else min(1, len(shot.characters)))
    for word, number in NUMBERS.items():
        count = max(count, number if _has(word, words) else 0)
    if size in {"two", "ots"}:
        count = max(count, 2)
    if size in {"cu", "ecu", "mcu"}:
        count = max(count, 1)
    return min(count or (1 if _has(PEOPLE, words) or shot.dialogue else 0), 8)


def _first(table: Mapping[str, str], words: str) -> str | None:
    return next((name for name, stems in table.items() if _has(stems, words)), None)


def _has(stems: str, words: str) -> bool:
    lowered = words.casefold()
    return any(stem in lowered if not stem.isascii() else _begins(stem, lowered) for stem in stems.split("|"))


def _begins(stem: str, words: str) -> bool:
    """Say whether a word begins with the stem; short ones such as `cu` must be the whole word."""
    end = r"\b" if len(stem.strip()) <= 3 or stem.endswith(" ") else ""
    return re.search(rf"\b{re.escape(stem.strip())}{end}", words) is not None


def _text(value: Any) -> str:
    return " ".join(str(value).split())[:MAX_TEXT] if value is not None else ""


def _seconds(value: Any, place: int) -> float:
    if value in (None, ""):
        return DEFAULT_SECONDS
    try:
        seconds = float(str(value).removesuffix("s").strip().replace(",", "."))
    except ValueError:
        raise ToolFailure(f"Shot {place + 1} lasts {value!r}.", hint="Give seconds as a number, such as 3.5.") from None
    if not 0 < seconds <= LONGEST:
        raise ToolFailure(f"Shot {place + 1} lasts {seconds:g} s.", hint=f"Between 0 and {LONGEST:g} s are possible.")
    return seconds
