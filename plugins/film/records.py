"""What a film is made of: its script in scenes, its people and places, its list of shots."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from plugins.api import ToolFailure

MAX_SCENES, MAX_BEATS, MAX_SHOTS = 200, 400, 300
MAX_TEXT = 4_000
SHORTEST, LONGEST = 0.5, 60.0
Record = Mapping[str, Any]


def slug(name: str) -> str:
    """Return a name as a folder's: small letters, digits and dashes. Raises ToolFailure when nothing is left."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    made = re.sub(r"[^\w]+", "-", plain).strip("-_")[:60].rstrip("-_")
    if not made:
        raise ToolFailure(f"{name!r} is no name for a film.", hint="Use letters and digits, such as lighthouse.")
    return made


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """Return a value as text on one line, bounded."""
    return " ".join(str(value).split())[:limit] if value is not None else ""


def rows(value: Any, what: str, most: int) -> Sequence[Any]:
    """Return a list, bounded; an empty value is an empty list. Raises ToolFailure."""
    if value in (None, ""):
        return []
    if not isinstance(value, (list, tuple)):
        raise ToolFailure(f"The {what} are {type(value).__name__}, and must be a list.")
    if len(value) > most:
        raise ToolFailure(f"There are {len(value)} {what}; {most} are possible.")
    return value


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody or some place, and how it looks."""

    name: str
    description: str = ""

    @classmethod
    def of(cls, given: Any) -> Named:
        """Read one: a record, or `NAME: description`."""
        if isinstance(given, Mapping):
            return cls(text(given.get("name"), 80), text(given.get("description"), 600))
        name, _, rest = str(given).partition(":")
        return cls(text(name, 80), text(rest, 600))


@dataclass(frozen=True, slots=True)
class Beat:
    """One thing that happens in a scene; with `who` it is what somebody says."""

    text: str
    who: str = ""

    @classmethod
    def of(cls, given: Any) -> Beat:
        """Read one: a record, or a text."""
        if not isinstance(given, Mapping):
            return cls(text(given))
        return cls(text(given.get("text")), text(given.get("who"), 80))


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene: its heading (`EXT. BEACH - NIGHT`) and what happens, in order."""

    heading: str
    beats: tuple[Beat, ...] = ()

    @classmethod
    def of(cls, given: Any, place: int) -> Scene:
        """Read a record. Raises ToolFailure for a scene in which nothing happens."""
        if not isinstance(given, Mapping):
            raise ToolFailure(f"Scene {place + 1} is no record with heading and beats.")
        beats = tuple(Beat.of(beat) for beat in rows(given.get("beats"), f"beats of scene {place + 1}", MAX_BEATS))
        beats = tuple(beat for beat in beats if beat.text)
        if not beats:
            raise ToolFailure(f"In scene {place + 1} nothing happens.", hint="Give it beats.")
        return cls(text(given.get("heading"), 200) or f"SCENE {place + 1}", beats)


@dataclass(frozen=True, slots=True)
class Script:
    """A film in words."""

    title: str
    scenes: tuple[Scene, ...]
    logline: str = ""
    style: str = ""
    characters: tuple[Named, ...] = ()
    locations: tuple[Named, ...] = ()

    @classmethod
    def of(cls, given: Record, title: str = "") -> Script:
        """Read a record with title, logline, style, characters, locations and scenes. Raises ToolFailure."""
        scenes = tuple(
            Scene.of(scene, place) for place, scene in enumerate(rows(given.get("scenes"), "scenes", MAX_SCENES))
        )
        if not scenes:
            raise ToolFailure("The script has no scene.", hint="A scene begins like: ### 1. EXT. BEACH - NIGHT")
        made = cls(
            title=text(given.get("title"), 200) or title or "Untitled",
            scenes=scenes,
            logline=text(given.get("logline")),
            style=text(given.get("style")),
            characters=_named(given, "characters"),
            locations=_named(given, "locations"),
        )
        return made.with_all_who_speak()

    def with_all_who_speak(self) -> Script:
        """Return the same with everybody who says something among the characters."""
        known = {one.name.casefold() for one in self.characters}
        speaking = dict.fromkeys(beat.who for scene in self.scenes for beat in scene.beats if beat.who)
        more = tuple(Named(name) for name in speaking if name.casefold() not in known)
        return replace(self, characters=(*self.characters, *more))

    def to_json(self) -> dict[str, Any]:
        """Return it as `of` reads it."""
        return asdict(self) | {
            "scenes": [asdict(scene) | {"beats": [asdict(beat) for beat in scene.beats]} for scene in self.scenes],
            "characters": [asdict(one) for one in self.characters],
            "locations": [asdict(one) for one in self.locations],
        }


def _named(given: Record, what: str) -> tuple[Named, ...]:
    found = [Named.of(one) for one in rows(given.get(what), what, MAX_SCENES)]
    return tuple({one.name.casefold(): one for one in found if one.name}.values())


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot of the list. `number` is like 2.1 (scene and place), `dialogue` is like `MARA: Hello?`."""

    number: str
    scene: int
    heading: str
    size: str
    camera: str
    seconds: float
    description: str
    dialogue: str = ""
    characters: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it as pipelines and the drawing see it."""
        return asdict(self) | {"characters": list(self.characters)}


def shots_of(given: Any, script: Script) -> list[Shot]:
    """Read a list of shots, in order, and number them anew. Raises ToolFailure for a shot without a scene or words."""
    found: list[Shot] = []
    counts: dict[int, int] = {}
    for place, row in enumerate(rows(_flat(given), "shots", MAX_SHOTS)):
        if not isinstance(row, Mapping):
            raise ToolFailure(f"Shot {place + 1} is no record.")
        shot = _shot(row, place, script, found[-1].scene if found else 1)
        counts[shot.scene] = counts.get(shot.scene, 0) + 1
        found.append(replace(shot, number=f"{shot.scene}.{counts[shot.scene]}"))
    if not found:
        raise ToolFailure("There is no shot.", hint="Each has scene, size, camera, seconds and description.")
    return sorted(found, key=lambda shot: shot.scene)


def _flat(given: Any) -> Any:
    """Return one list of what may be a list for each scene, with or without the key `shots`."""
    if isinstance(given, Mapping):
        return _flat(given.get("shots"))
    if not isinstance(given, (list, tuple)):
        return given
    parts = [_flat(part) if isinstance(part, (list, tuple)) or _holds_shots(part) else [part] for part in given]
    return [row for part in parts for row in part or ()]


def _holds_shots(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("shots"), (list, tuple))


def _shot(row: Record, place: int, script: Script, before: int) -> Shot:
    scene = _scene_of(row.get("scene"), place, len(script.scenes), before)
    said = text(row.get("description"))
    if not said:
        raise ToolFailure(f"Shot {place + 1} says nothing.", hint="Give it a description.")
    people = row.get("characters") or ()
    names = re.split(r"[,;]", people) if isinstance(people, str) else people
    return Shot(
        number="",
        scene=scene,
        heading=script.scenes[scene - 1].heading,
        size=text(row.get("size"), 60) or "medium shot",
        camera=text(row.get("camera"), 60) or "static",
        seconds=_seconds(row.get("seconds"), place),
        description=said,
        dialogue=text(row.get("dialogue")),
        characters=tuple(filter(None, (text(name, 80) for name in names))),
    )


def _scene_of(value: Any, place: int, count: int, before: int) -> int:
    found = re.match(r"\D*(\d+)", str(value)) if value not in (None, "") else None
    scene = int(found[1]) if found else before
    if not 1 <= scene <= count:
        raise ToolFailure(f"Shot {place + 1} is of scene {scene}; the script has {count}.")
    return scene


def _seconds(value: Any, place: int) -> float:
    try:
        seconds = float(str(value if value not in (None, "") else 3).replace(",", ".").removesuffix("s"))
    except ValueError:
        raise ToolFailure(f"Shot {place + 1} lasts {value!r}.", hint="Give seconds, such as 3.5.") from None
    if not SHORTEST <= seconds <= LONGEST:
        raise ToolFailure(f"Shot {place + 1} lasts {seconds:g} s.", hint=f"{SHORTEST:g} to {LONGEST:g} are possible.")
    return round(seconds, 2)
