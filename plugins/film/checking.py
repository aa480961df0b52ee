"""What is wrong with a script, a list of shots or a set of frames, found by rule; each finding is a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from plugins.film.records import Script, Shot
from plugins.film.shooting import clock, length_of

WORDS_A_SECOND = 3.4
FAR_APART = 120  # of 255, between the mean colours of neighbouring frames of a scene


def script_findings(script: Script, seconds: float) -> list[str]:
    """Look at a script: scenes without a usual heading, people who never appear, and whether it fits its length."""
    found = [
        f"Scene {number} has no place and time in its heading: {scene.heading}"
        for number, scene in enumerate(script.scenes, 1)
        if " - " not in scene.heading and " – " not in scene.heading
    ]
    told = " ".join(f"{beat.who} {beat.text}" for scene in script.scenes for beat in scene.beats).casefold()
    found += [f"{one.name} never appears." for one in script.characters if one.name.casefold() not in told]
    words = sum(len(beat.text.split()) for scene in script.scenes for beat in scene.beats)
    if seconds and words / WORDS_A_SECOND > seconds * 2.5:
        found.append(f"{words} words are much for {clock(seconds)}.")
    return found


def shot_findings(script: Script, shots: Sequence[Shot], seconds: float) -> list[str]:
    """Look at a list of shots: scenes without one, dialogue too fast to be spoken, and the film's length."""
    covered = {shot.scene for shot in shots}
    found = [f"Scene {n} has no shot." for n in range(1, len(script.scenes) + 1) if n not in covered]
    for shot in shots:
        words = len(shot.dialogue.split())
        if words / WORDS_A_SECOND > shot.seconds + 0.5:
            found.append(f"Shot {shot.number}: {words} words can't be spoken in {shot.seconds:g} s.")
    known = {one.name.casefold() for one in script.characters}
    strange = Counter(name for shot in shots for name in shot.characters if name.casefold() not in known)
    found += [f"{name} is in {count} shots and not in the script." for name, count in strange.items()]
    length = length_of(shots)
    if seconds and not 0.7 <= length / seconds <= 1.3:
        found.append(f"The shots last {clock(length)}; the film is to last {clock(seconds)}.")
    return found


def frame_findings(shots: Sequence[Shot], looks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Look at the frames in order: one for each shot, nothing wrong with each, colours that fit within a scene."""
    found = []
    if len(looks) != len(shots):
        found.append(f"There are {len(looks)} frames for {len(shots)} shots.")
    for shot, look in zip(shots, looks, strict=False):
        found += [f"Shot {shot.number}: {problem}." for problem in look.get("problems", ())]
    pairs = zip(zip(shots, looks, strict=False), zip(shots[1:], looks[1:], strict=False), strict=False)
    for (before, tone), (shot, own) in pairs:
        if before.scene == shot.scene and _distance(tone.get("tone"), own.get("tone")) > FAR_APART:
            found.append(f"Shots {before.number} and {shot.number} differ much in colour.")
    return found


def _distance(one: Any, other: Any) -> float:
    if not one or not other:
        return 0.0
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


def subtitle_findings(srt: str) -> list[str]:
    """Look at subtitles: texts that are too long to be read in their time."""
    found = []
    for number, start, end, said in re.findall(r"(\d+)\n(\S+) --> (\S+)\n((?:.+\n?)+)", srt):
        rate = len(said.strip()) / max(0.1, _seconds(end) - _seconds(start))
        if rate > 24:  # characters a second
            found.append(f"Subtitle {number} is too long to be read ({rate:.0f} characters a second).")
    return found


def _seconds(stamp: str) -> float:
    hours, minutes, rest = stamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
