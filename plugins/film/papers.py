"""What goes with a film on paper: subtitles, voice-over, music cues, credits, the edit list, the report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plugins.film.records import Script, Shot, rows, text
from plugins.film.shooting import clock, length_of

LEAD = 2.5  # seconds of the title card, before the first shot
RATE = 24
LINE = 42  # characters of a line of subtitles that can be read at once
MOODS = (
    (r"storm|thunder|chase|fight|fire|danger|sturm|feuer|暴|追|火", "tense: low strings and drums, rising"),
    (r"night|dark|alone|letter|nacht|allein|夜|独", "quiet: a single piano, long notes"),
    (r"dawn|morning|sun|smile|beach|morgen|strand|晨|阳|海滩", "warm: acoustic guitar and soft strings"),
    (r"city|street|crowd|stadt|straße|城|街", "moving: light percussion and bass"),
)


def subtitles(shots: Sequence[Shot], words: Sequence[str] = (), lead: float = LEAD) -> str:
    """Return subtitles in SRT, in step with the film; `words` replace the dialogue of each shot that has some."""
    spoken = [shot for shot in shots if shot.dialogue]
    shown = dict(zip((shot.number for shot in spoken), words, strict=False))
    made: list[str] = []
    at = lead
    for shot in shots:
        said = shown.get(shot.number) or _without_name(shot.dialogue)
        if said:
            start, end = at + 0.1, at + shot.seconds - 0.1
            made.append(f"{len(made) + 1}\n{_stamp(start)} --> {_stamp(end)}\n{_two_lines(said)}\n")
        at += shot.seconds
    return "\n".join(made)


def _without_name(said: str) -> str:
    return re.sub(r"^[^:：]{1,40}[:：]\s*", "", said)


def _two_lines(said: str) -> str:
    if len(said) <= LINE:
        return said
    middle = len(said) / 2
    gaps = [place for place, char in enumerate(said) if char == " "]
    if not gaps:
        return said
    gap = min(gaps, key=lambda place: abs(place - middle))
    return f"{said[:gap]}\n{said[gap + 1 :]}"


def _stamp(seconds: float) -> str:
    thousandths = round(max(0.0, seconds) * 1000)
    hours, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02},{rest % 1000:03}"


def voiceover(script: Script, shots: Iterable[Shot], narration: Any = None) -> str:
    """Return the text to be spoken, with its times: what a model wrote for the narrator, or the dialogue."""
    lines = [f"# {script.title}: voice-over", ""]
    told = [text(one) for one in rows(narration, "lines of narration", 300) if text(one)]
    lines += [f"{number}. {line}" for number, line in enumerate(told, 1)] + ([""] if told else [])
    at = LEAD
    for shot in shots:
        if shot.dialogue:
            lines.append(f"- `{clock(at)}` (shot {shot.number}, {shot.seconds:g} s) {shot.dialogue}")
        at += shot.seconds
    return "\n".join(lines).rstrip() + "\n"


def music(script: Script, shots: Sequence[Shot], cues: Any = None) -> str:
    """Return a sheet of music cues, one for each scene: a model's, or by the scene's mood."""
    own = [text(one) for one in rows(cues, "music cues", 300)]
    lines = [f"# {script.title}: music cues", "", "| cue | from | to | scene | music |", "|---|---|---|---|---|"]
    at = LEAD
    for number, scene in enumerate(script.scenes, 1):
        length = length_of(shot for shot in shots if shot.scene == number)
        said = own[number - 1] if number <= len(own) and own[number - 1] else mood(scene.heading, scene.beats[0].text)
        cell = said.replace("|", "/")
        lines.append(f"| M{number} | {clock(at)} | {clock(at + length)} | {scene.heading} | {cell} |")
        at += length
    return "\n".join(lines) + "\n"


def mood(*words: str) -> str:
    """Return what music fits some words."""
    said = " ".join(words)
    return next((music for stems, music in MOODS if re.search(stems, said, re.IGNORECASE)), "neutral: soft pad")


def credit_lines(script: Script, people: Mapping[str, str]) -> str:
    """Return the credits: a first line, then who plays and who made it."""
    cast = [f"{one.name}    {people[one.name]}" if one.name in people else one.name for one in script.characters]
    crew = [f"{role}    {name}" for role, name in people.items() if role not in {one.name for one in script.characters}]
    return "\n".join([script.title, *cast, *crew])


def edit_list(title: str, shots: Sequence[Shot]) -> str:
    """Return an edit decision list (CMX 3600) at 24 frames a second, which editing programs read."""
    lines = [f"TITLE: {_ascii(title).upper()[:70]}", "FCM: NON-DROP FRAME", ""]
    at = LEAD
    for number, shot in enumerate(shots, 1):
        source, record = f"{_code(0)} {_code(shot.seconds)}", f"{_code(at)} {_code(at + shot.seconds)}"
        lines.append(f"{number:03}  AX       V     C        {source} {record}")
        lines.append(f"* FROM CLIP NAME: SHOT {shot.number}")
        lines.append(f"* COMMENT: {_ascii(shot.description)[:120]}")
        at += shot.seconds
    return "\n".join(lines) + "\n"


def _ascii(words: str) -> str:
    return words.encode("ascii", "replace").decode()


def _code(seconds: float) -> str:
    frames = round(seconds * RATE)
    whole, left = divmod(frames, RATE)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}:{left:02}"


def report(script: Script, shots: Sequence[Shot], facts: Mapping[str, Any]) -> str:
    """Return the production's report in Markdown; `facts` are further lines, by their names."""
    speaking = sum(1 for shot in shots if shot.dialogue)
    lines = [
        f"# {script.title}: production report",
        "",
        f"> {script.logline}" if script.logline else "",
        "",
        f"- Scenes: {len(script.scenes)}, shots: {len(shots)} ({speaking} with dialogue)",
        f"- Length: {clock(length_of(shots))}",
        f"- Characters: {', '.join(one.name for one in script.characters) or 'none'}",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| scene | shots | length |",
        "|---|---|---|",
    ]
    for number, scene in enumerate(script.scenes, 1):
        mine = [shot for shot in shots if shot.scene == number]
        lines.append(f"| {number}. {scene.heading.replace('|', '/')} | {len(mine)} | {clock(length_of(mine))} |")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"
