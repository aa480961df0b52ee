"""From a script to shots by rule, and from shots to what is asked of a media server: no model is needed for either."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from plugins.film.records import Beat, Scene, Script, Shot, shots_of

Row = dict[str, Any]
COLUMNS = ("number", "scene", "heading", "size", "camera", "seconds", "characters", "description", "dialogue")
FORMULAS = ("=", "+", "-", "@", "\t")
THING = re.compile(
    r"\b(hand|letter|key|phone|radio|photo|note|map|knife|watch|ring|brief|lettre|schlüssel)\b", re.IGNORECASE
)
SPEAKING = ("medium close-up", "close-up", "over the shoulder")
HAPPENING = ("full shot", "medium shot", "wide shot")
SLOWEST, FASTEST = 1.8, 0.6


def break_down(script: Script, seconds: float = 0) -> list[Shot]:
    """Return shots by rule: a wide one to begin a scene, one for each thing that happens or is said.

    With `seconds` the lengths are scaled towards the film's, within what can still be read.
    """
    shots = [shot for number, scene in enumerate(script.scenes, 1) for shot in _shots(scene, number, script)]
    length = sum(shot["seconds"] for shot in shots)
    factor = min(SLOWEST, max(FASTEST, seconds / length)) if seconds and length else 1.0
    scaled = [{**shot, "seconds": round(max(1.0, shot["seconds"] * factor) * 2) / 2} for shot in shots]
    return shots_of(scaled, script)


def _shots(scene: Scene, number: int, script: Script) -> list[Row]:
    made: list[Row] = []
    people: dict[str, None] = {}
    for place, beat in enumerate(scene.beats):
        named = _named(beat.text, script)
        people.update(dict.fromkeys([*named, *([beat.who] if beat.who else [])]))
        if place == 0 and beat.who:
            made.append(_first(scene, number))
        made.append(_said(beat, place, number, list(people)) if beat.who else _happens(beat, place, number, named))
    return made


def _first(scene: Scene, number: int) -> Row:
    where = scene.heading.rpartition(" - ")[0] or scene.heading
    return {
        "scene": number,
        "size": "wide shot",
        "camera": "static",
        "seconds": 3.0,
        "description": f"{where.title()}.",
    }


def _happens(beat: Beat, place: int, number: int, named: Sequence[str]) -> Row:
    size = "wide shot" if place == 0 else "insert" if THING.search(beat.text) else HAPPENING[place % 3]
    camera = "slow push in" if place == 0 else "static"
    length = min(6.0, max(2.5, len(beat.text.split()) / 3.2))
    return {
        "scene": number,
        "size": size,
        "camera": camera,
        "seconds": length,
        "description": beat.text,
        "characters": list(named),
    }


def _said(beat: Beat, place: int, number: int, people: Sequence[str]) -> Row:
    size = SPEAKING[place % (3 if len(people) > 1 else 2)]
    words = len(beat.text.split()) if " " in beat.text else len(beat.text) / 2
    return {
        "scene": number,
        "size": size,
        "camera": "static",
        "seconds": min(8.0, max(2.0, words / 2.4 + 0.8)),
        "description": f"{beat.who} speaks.",
        "dialogue": f"{beat.who}: {beat.text}",
        "characters": [beat.who, *(name for name in people if name != beat.who)][: 2 if "over" in size else 1],
    }


def _named(words: str, script: Script) -> list[str]:
    lowered = words.casefold()
    return [
        one.name for one in script.characters if re.search(rf"(?<!\w){re.escape(one.name.casefold())}(?!\w)", lowered)
    ]


def as_csv(shots: Iterable[Shot]) -> str:
    """Return the list of shots as CSV; a text that a spreadsheet would calculate with is marked as text."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(COLUMNS)
    for shot in shots:
        row = shot.to_json() | {"characters": ", ".join(shot.characters)}
        writer.writerow([_harmless(row[column]) for column in COLUMNS])
    return made.getvalue()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def from_csv(text: str, script: Script) -> list[Shot]:
    """Read what `as_csv` wrote, also after a person has changed it. Raises ToolFailure."""
    rows = [
        {name: (value or "").removeprefix("'") for name, value in row.items() if isinstance(name, str)}
        for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    ]
    return shots_of(rows, script)


def prompts(script: Script, shots: Sequence[Shot]) -> list[str]:
    """Return for each shot what a media server is asked to draw: the same words for the same people and places."""
    return [_prompt(script, shot) for shot in shots]


def _prompt(script: Script, shot: Shot) -> str:
    looks = {one.name.casefold(): one.description for one in script.characters if one.description}
    people = [f"{name}: {looks[name.casefold()]}" for name in shot.characters if name.casefold() in looks]
    places = [
        f"{one.name}: {one.description}" for one in script.locations if one.name.casefold() in shot.heading.casefold()
    ]
    camera = f", camera: {shot.camera}" if shot.camera not in {"", "static"} else ""
    parts = [
        f"Film still, {shot.size}{camera}.",
        shot.heading + ".",
        shot.description,
        *(["Characters: " + "; ".join(people) + "."] if people else []),
        *(["Place: " + "; ".join(places) + "."] if places else []),
        *([f"Style: {script.style}"] if script.style else []),
        "16:9, no text, no captions.",
    ]
    return " ".join(parts)


def length_of(shots: Iterable[Shot]) -> float:
    """Return how long shots last, in seconds."""
    return round(sum(shot.seconds for shot in shots), 2)


def clock(seconds: float) -> str:
    """Return minutes and seconds, such as 1:05."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
