"""Scripts as people write them: Markdown with headings, or plain text as screenwriters set it."""

from __future__ import annotations

import re

from plugins.api import ToolFailure
from plugins.film.records import Beat, Named, Scene, Script

SCENE_WORDS = r"(?:INT|EXT|I/E|INT\./EXT|INNEN|AUSSEN|AUßEN|INTÉRIEUR|EXTÉRIEUR|ИНТ|НАТ|ЭКСТ)[./ ]|内景|外景|室内|室外"
HEADING = re.compile(
    rf"^(?:#+\s*)?(?:(?:scene|szene|scène|сцена|场景?|第)?\s*\d+[.:)场景]*\s*)?({SCENE_WORDS})", re.IGNORECASE
)
NUMBERED = re.compile(r"^#{2,4}\s*(?:scene|szene|scène|escena|сцена|场景?)?\s*\d+\s*[.:)、-]?\s*(\S.*)$", re.IGNORECASE)
NUMBER = re.compile(r"^(?:#+\s*)?(?:(?:scene|szene|scène|escena|сцена|场景?)\s*)?\d+\s*[.:)、-]\s*", re.IGNORECASE)
SECTION = re.compile(r"^#{1,3}\s*(.+?)\s*#*$")
SAID = re.compile(r"^\*{0,2}([^\s*:：][^*:：]{0,39}?)\*{0,2}\s*(?:\([^)]*\)\s*)?[:：]\*{0,2}\s*(\S.*)$")
ENTRY = re.compile(r"^[-*•]\s*\*{0,2}([^:*：—–]{1,60}?)\*{0,2}\s*[:：—–]\*{0,2}\s*(.*)$")
NAME_ALONE = re.compile(r"^[^\W\d_][^a-z:.!?]{1,39}$")
SECTIONS = {
    "characters": {
        "characters",
        "cast",
        "figuren",
        "personen",
        "personnages",
        "personajes",
        "персонажи",
        "人物",
        "角色",
    },
    "locations": {"locations", "places", "orte", "schauplätze", "lieux", "lugares", "места", "地点", "场地"},
    "style": {"style", "stil", "look", "estilo", "стиль", "风格"},
    "script": {"script", "scenes", "drehbuch", "scénario", "guion", "сценарий", "剧本"},
}
KEYS = {"title": "title", "titel": "title", "titre": "title", "logline": "logline", "style": "style", "stil": "style"}


def render(script: Script) -> str:
    """Return a script as Markdown that `parse` reads."""
    lines = [f"# {script.title}", ""]
    lines += [f"> {script.logline}", ""] if script.logline else []
    lines += ["## Style", "", script.style, ""] if script.style else []
    for title, entries in (("Characters", script.characters), ("Locations", script.locations)):
        if entries:
            lines += [f"## {title}", "", *(f"- **{one.name}**: {one.description}".rstrip() for one in entries), ""]
    lines += ["## Script", ""]
    for number, scene in enumerate(script.scenes, 1):
        lines += [f"### {number}. {scene.heading}", ""]
        for beat in scene.beats:
            lines += [f"**{beat.who}:** {beat.text}" if beat.who else beat.text, ""]
    return "\n".join(lines).rstrip() + "\n"


def parse(text: str, title: str = "") -> Script:
    """Read a script. Raises ToolFailure when no scene is found in it."""
    reader = _Reader(title)
    for line in text.replace("\r\n", "\n").lstrip("\ufeff").split("\n"):
        reader.line(line.strip())
    return reader.script()


class _Reader:
    """Reads line by line; what comes before the first scene is about the film."""

    def __init__(self, title: str) -> None:
        self._about = {"title": title, "logline": "", "style": ""}
        self._entries: dict[str, list[Named]] = {"characters": [], "locations": []}
        self._section = ""
        self._scenes: list[tuple[str, list[Beat]]] = []
        self._speaker = ""

    def line(self, line: str) -> None:
        """Take in one line."""
        if not line or set(line) <= set("-=*_"):
            self._speaker = ""
            return
        heading = self._heading(line)
        if heading:
            self._scenes.append((heading, []))
        elif (section := SECTION.match(line)) is not None:
            self._head(section[1])
        elif self._scenes and self._section not in self._entries and self._section != "style":
            self._happens(line)
        else:
            self._is_about(line)

    def script(self) -> Script:
        """Return what was read."""
        scenes = [Scene(heading, tuple(beats)) for heading, beats in self._scenes if beats]
        if not scenes:
            raise ToolFailure(
                "No scene is found in the script.",
                hint="A scene begins with a line such as `### 1. EXT. BEACH - NIGHT`; dialogue is `MARA: Hello?`.",
            )
        made = Script(
            title=self._about["title"] or "Untitled",
            scenes=tuple(scenes),
            logline=self._about["logline"],
            style=self._about["style"],
            characters=tuple(self._entries["characters"]),
            locations=tuple(self._entries["locations"]),
        )
        return made.with_all_who_speak()

    def _heading(self, line: str) -> str:
        if HEADING.match(line):
            self._section = "script"
            return NUMBER.sub("", line).lstrip("# ").strip("* ")
        numbered = NUMBERED.match(line) if self._section in {"", "script"} else None
        return numbered[1].strip("* ") if numbered else ""

    def _head(self, words: str) -> None:
        plain = words.strip("* ").casefold().rstrip(":")
        found = next((name for name, known in SECTIONS.items() if plain in known), None)
        if found is not None:
            self._section = found
        elif not self._about["title"] or not self._scenes:
            self._about["title"] = words.strip("* ")

    def _is_about(self, line: str) -> None:
        entry = ENTRY.match(line)
        if self._section in self._entries and entry is not None:
            self._entries[self._section].append(Named(entry[1].strip(), entry[2].strip()))
            return
        key, _, rest = line.partition(":")
        known = KEYS.get(key.strip("* ").casefold())
        if known and rest.strip():
            self._about[known] = rest.strip("* ")
        elif line.startswith(">"):
            self._about["logline"] = f"{self._about['logline']} {line.lstrip('> ')}".strip()
        elif self._section == "style":
            self._about["style"] = f"{self._about['style']} {line}".strip()
        elif not self._about["logline"]:
            self._about["logline"] = line

    def _happens(self, line: str) -> None:
        beats = self._scenes[-1][1]
        said = SAID.match(line)
        if said is not None and len(said[1].split()) <= 4:  # longer ones are sentences with a colon in them
            beats.append(Beat(said[2].strip("* "), said[1].strip("* ")))
            self._speaker = said[1].strip("* ")
        elif NAME_ALONE.match(line) and line == line.upper() != line.lower() and not line.endswith("TO"):
            self._speaker = line.split("(", maxsplit=1)[0].strip()
        elif self._speaker and not (line.startswith("(") and line.endswith(")")):
            beats.append(Beat(line, self._speaker))
        elif not self._speaker:
            beats.append(Beat(line))
