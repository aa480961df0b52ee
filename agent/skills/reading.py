"""One skill's folder, checked: its name, its front matter, its size, and that nothing in it lies elsewhere."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.domain.provenance import Provenance
from agent.errors import ConfigError

MANUAL = "SKILL.md"
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
NAME_CHARS, DESCRIPTION_CHARS, COMPATIBILITY_CHARS = 64, 1_024, 500
HEAD_BYTES, MANUAL_BYTES = 20_000, 100_000
MOST_FILES, MOST_DEPTH = 500, 8
LISTED = 40
FENCE = "---"
KEYS = frozenset({"name", "description", "license", "compatibility", "metadata", "allowed-tools"})
NAMES = f"small letters and digits with single hyphens between them, {NAME_CHARS} characters at most"
WAY_ON = "`dirigent skills check` says so again once it is mended."


class SkillError(ConfigError):
    """A skill's folder cannot be used; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill. `files` are the paths of what lies beside its SKILL.md, relative to `folder`, sorted.

    `remarks` are what its author may want to mend; it can be used as it is.
    """

    name: str
    description: str
    folder: Path
    body: str
    files: tuple[str, ...] = ()
    license: str = ""
    compatibility: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def label(self) -> Provenance:
        """Where what it says comes from: the owner, who has put it into the folder."""
        return Provenance.of(f"skill:{self.name}", trusted=True)

    @property
    def instructions(self) -> str:
        """What a planner is told that has loaded it."""
        listed = [f"- {self.folder / name}" for name in self.files[:LISTED]]
        if len(self.files) > LISTED:
            listed.append(f"- and {len(self.files) - LISTED} more")
        where = f"\nIts files, which every step in the sandbox can read and run where they are:\n{chr(10).join(listed)}"
        return f"Skill {self.name}: the person's own instructions for this kind of task.\n{self.body}" + (
            where if listed else ""
        )


def read_skill(folder: Path) -> Skill:
    """Return the skill in a folder. Raises SkillError with the file and the line of what is wrong."""
    manual = folder / MANUAL
    _check_name(folder.name, f"{folder}")
    _check_stays_inside(folder, folder.parent)
    files = tuple(sorted(_files(folder)))
    head, body, begins = _parts(manual, _text(manual))
    values = _front_matter(manual, head)
    name, description = _required(manual, values, head)
    if name != folder.name:
        raise _wrong(manual, _line_of(head, "name"), f"its name is {name!r}, and its folder's is {folder.name!r}")
    if not body.strip():
        raise _wrong(manual, begins, "there are no instructions after the front matter")
    unknown = sorted(str(key) for key in values if key not in KEYS)
    remarks = [f"{MANUAL}, line {_line_of(head, key)}: {key!r} is not part of the format." for key in unknown]
    return Skill(
        name,
        " ".join(description.split()),
        folder,
        body.strip(),
        files,
        _text_of(manual, values, head, "license", DESCRIPTION_CHARS),
        _text_of(manual, values, head, "compatibility", COMPATIBILITY_CHARS),
        tuple(remarks),
    )


def _check_name(name: str, where: str) -> None:
    if len(name) > NAME_CHARS or not NAME.fullmatch(name):
        raise SkillError(f"{where}: a skill's name is {NAMES}.", hint=WAY_ON)


def _check_stays_inside(path: Path, place: Path) -> None:
    if not path.resolve().is_relative_to(place.resolve()):
        raise SkillError(f"{path} is a link to {path.resolve()}, outside of {place}.", hint="Copy it there instead.")


def _files(folder: Path) -> list[str]:
    """Return the files beside SKILL.md. Raises SkillError for links that lead out, and for too many."""
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *names]:
            _check_stays_inside(here / name, folder)
        found += [str((here / name).relative_to(folder)) for name in names if not name.startswith(".")]
        if len(found) > MOST_FILES or len(here.relative_to(folder).parts) > MOST_DEPTH:
            limits = f"more than {MOST_FILES} files, or folders more than {MOST_DEPTH} deep"
            raise SkillError(f"{folder} holds {limits}.", hint="Keep what a skill does not need elsewhere.")
    return [name for name in found if name != MANUAL]


def _text(manual: Path) -> str:
    try:
        with manual.open("rb") as file:
            raw = file.read(MANUAL_BYTES + 1)
    except OSError as error:
        raise SkillError(f"{manual} cannot be read: {error.strerror}.", hint=WAY_ON) from None
    if len(raw) > MANUAL_BYTES:
        hint = "Move details into files beside it, and say in SKILL.md when they are needed."
        raise SkillError(f"{manual} is longer than {MANUAL_BYTES:,} bytes.", hint=hint)
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _wrong(manual, line, "it is not UTF-8 text") from None


def _parts(manual: Path, text: str) -> tuple[str, str, int]:
    """Return front matter, instructions, and the line where these begin."""
    lines = text.split("\n")
    if lines[0].rstrip() != FENCE:
        raise _wrong(manual, 1, f"it must begin with a line `{FENCE}`, then `name:` and `description:`")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == FENCE:
            head = "\n".join(lines[1:number])
            if len(head) > HEAD_BYTES:
                raise _wrong(manual, 2, f"the front matter is longer than {HEAD_BYTES:,} characters")
            return head, "\n".join(lines[number + 1 :]), number + 2
    raise _wrong(manual, 1, f"the front matter has no end: a second line `{FENCE}`")


def _front_matter(manual: Path, head: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(head)
    except MarkedYAMLError as error:
        mark = error.context_mark or error.problem_mark
        said = str(error.problem or error.context or "it is no YAML").split("\n")[0]
        raise _wrong(manual, mark.line + 2 if mark else 2, f"the front matter is no YAML: {said}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise _wrong(manual, 2, f"the front matter is no YAML: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(values, dict):
        raise _wrong(manual, 2, "the front matter must be `name: …` and `description: …`, one a line")
    return values


def _required(manual: Path, values: dict[str, Any], head: str) -> tuple[str, str]:
    for key in ("name", "description"):
        if key not in values:
            raise _wrong(manual, 1, f"`{key}:` is missing in the front matter")
    name = _text_of(manual, values, head, "name", NAME_CHARS)
    _check_name(name, f"{manual}, line {_line_of(head, 'name')}")
    description = _text_of(manual, values, head, "description", DESCRIPTION_CHARS)
    if not description:
        raise _wrong(manual, _line_of(head, "description"), "the description is empty: say what it does, and when")
    return name, description


def _text_of(manual: Path, values: dict[str, Any], head: str, key: str, most: int) -> str:
    value = values.get(key, "")
    if not isinstance(value, str):
        raise _wrong(manual, _line_of(head, key), f"{key!r} must be text, and is {value!r:.60}")
    if len(value) > most:
        raise _wrong(manual, _line_of(head, key), f"{key!r} has {len(value):,} characters; {most:,} are allowed")
    return value.strip()


def _line_of(head: str, key: str) -> int:
    """Return the line of the file in which a key of the front matter stands."""
    for number, line in enumerate(head.split("\n"), start=2):
        if re.match(rf"['\"]?{re.escape(key)}['\"]?\s*:", line):
            return number
    return 2


def _wrong(manual: Path, line: int, what: str) -> SkillError:
    return SkillError(f"{manual}, line {line}: {what}.", hint=WAY_ON)
