"""Whole storyboards and animatics: what the tools put together from shots and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.files.paths import existing
from plugins.media import animatic, fonts, frames
from plugins.media.pictures import opened
from plugins.media.shots import DEFAULT_SECONDS, LONGEST, Shot

MOST_SHOTS = 300
TITLE_SECONDS, CREDITS_SECONDS = 2.5, 3.0
CLIPS = {".mp4", ".webm", ".mov"}


def draw(
    shots: Sequence[Mapping[str, Any]], folder: Path, title: str, pictures: Sequence[str]
) -> tuple[str, str, dict[str, Any]]:
    """Draw cards and their sheet into a folder; return the sheet's path, words about it, and all paths."""
    if not 0 < len(shots) <= MOST_SHOTS:
        raise ToolFailure(
            f"A storyboard of {len(shots)} shots can't be drawn.", hint=f"1 to {MOST_SHOTS} are possible."
        )
    if pictures and len(pictures) != len(shots):
        raise ToolFailure(f"There are {len(shots)} shots, but {len(pictures)} pictures.", hint="Give one for each.")
    read = [Shot.of(shot, place) for place, shot in enumerate(shots)]
    folder.mkdir(parents=True, exist_ok=True)
    made, cards = [], []
    for place, shot in enumerate(read):
        shown = opened(existing(pictures[place])) if pictures else frames.picture(shot)
        card = frames.card(shot, shown)
        path = folder / f"{place + 1:03}.png"
        card.save(path)
        made.append(str(path))
        card.thumbnail((700, 525))
        cards.append(card)
    length = sum(shot.seconds for shot in read)
    below = f"{len(read)} shots · {int(length // 60)}:{round(length % 60):02}"
    sheet = folder / "storyboard.png"
    frames.sheet(cards, title, below).save(sheet)
    lost = fonts.missing(title + "".join(f"{s.heading}{s.description}{s.dialogue}" for s in read))
    note = f" No font here shows {lost[:20]}; install one such as Noto Sans CJK." if lost else ""
    return str(sheet), f"{sheet}: {below}.{note}", {"sheet": str(sheet), "cards": made, "seconds": round(length, 2)}


@dataclass(frozen=True, slots=True)
class Film:
    """Pictures (or clips) in order, with their lengths in seconds and captions, between a title and credits."""

    pictures: tuple[str, ...]
    seconds: tuple[float, ...] = ()
    captions: tuple[str, ...] = ()
    title: str = ""
    credits: str = ""
    marks: bool = True

    def write(self, output: Path) -> float:
        """Write the film; return its length in seconds."""
        scenes = [self._scene(place, path, output) for place, path in enumerate(self.pictures)]
        if self.title:
            scenes.insert(0, animatic.Scene(frames.title_card(self.title), TITLE_SECONDS))
        if self.credits:
            head, _, rest = self.credits.partition("\n")
            scenes.append(animatic.Scene(frames.title_card(head, rest), CREDITS_SECONDS))
        return animatic.write(scenes, output)

    def _scene(self, place: int, path: str, output: Path) -> animatic.Scene:
        seconds = self.seconds[place] if place < len(self.seconds) else DEFAULT_SECONDS
        if not 0 < seconds <= LONGEST:
            raise ToolFailure(f"Picture {place + 1} lasts {seconds:g} s.", hint=f"Up to {LONGEST:g} s are possible.")
        file = existing(path)
        if file.suffix.lower() in CLIPS:
            if output.suffix.lower() != ".mp4" or not animatic.can_film():
                raise ToolFailure(f"{path} is a video; joining videos makes an MP4.", hint=animatic.INSTALL)
            return animatic.Scene(frames.title_card(""), seconds, clip=file)
        caption = self.captions[place] if place < len(self.captions) else ""
        note = f"{place + 1}/{len(self.pictures)}" if self.marks else ""
        return animatic.Scene(frames.subtitled(opened(file), caption, note), seconds)
