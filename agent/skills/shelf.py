"""All skills of an installation: found anew each time, since they are only files, and narrowed to a request."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Self

from loguru import logger

from agent.errors import NotFound
from agent.skills.reading import MANUAL, Skill, SkillError, read_skill

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent.config import AppConfig
    from agent.domain.session import Profile

MOST_SKILLS = 500
SHOWN = 12
WORD = re.compile(r"[^\W_]{2,}")
STEM = 5  # letters by which `invoice` and `invoices`, `summarise` and `summary` are the same word


class Skills:
    """The skills in some folders, of which `allowed` names those that may be used ("*" for all).

    `never` is where sessions' files lie: what is there is not the owner's, whatever the settings say. A folder is read
    again only when it has changed.
    """

    def __init__(self, places: Iterable[Path], allowed: Iterable[str] = ("*",), *, never: Path | None = None) -> None:
        self._places = tuple(places)
        self._allowed = frozenset(allowed)
        self._never = never
        self._known: dict[Path, tuple[tuple[float, ...], Skill | SkillError]] = {}

    @classmethod
    def of(cls, config: AppConfig) -> Self:
        """Return the skills that a configuration allows."""
        return cls(config.skill_places, config.profile_skills, never=config.folder / "sessions")

    def find(self, name: str, profile: Profile | None = None) -> Skill:
        """Return a skill by its name. Raises NotFound, naming the nearest, and SkillError for one that is broken."""
        for skill in self.usable(profile):
            if skill.name == name:
                return skill
        for folder, one in self._all():
            if folder.name == name and isinstance(one, SkillError):
                raise one
        names = [skill.name for skill in self.usable(profile)]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        there = (
            f"There are {', '.join(names[:SHOWN])}." if names else "There are none; `dirigent skills new` makes one."
        )
        raise NotFound(f"There is no skill {name!r}.", hint=f"Did you mean {near[0]!r}?" if near else there)

    def usable(self, profile: Profile | None = None) -> list[Skill]:
        """Return the skills that a profile may use (all without one), by name; the first folder's win."""
        found: dict[str, Skill] = {}
        for _, one in self._all():
            if isinstance(one, Skill) and self._admits(one.name, profile):
                found.setdefault(one.name, one)
        return sorted(found.values(), key=lambda skill: skill.name)

    def broken(self) -> list[SkillError]:
        """Return what is wrong with the folders that cannot be used."""
        return [one for _, one in self._all() if isinstance(one, SkillError)]

    def named_in(self, text: str, profile: Profile | None = None) -> list[Skill]:
        """Return the skills that a request names: `/skill NAME`, `skill NAME`, `NAME skill`, or a name with hyphens."""
        said = f" {' '.join(re.findall(r'[a-z0-9/-]+', text.casefold()))} "
        return [skill for skill in self.usable(profile) if _is_named(skill.name, said)]

    def _admits(self, name: str, profile: Profile | None) -> bool:
        if not {"*", name} & self._allowed:
            return False
        return profile is None or (name not in profile.denied and bool({"*", name} & set(profile.skills)))

    def _all(self) -> list[tuple[Path, Skill | SkillError]]:
        """Return each skill with its folder."""
        found: list[tuple[Path, Skill | SkillError]] = []
        for place in self._places:
            if self._never is not None and place.resolve().is_relative_to(self._never.resolve()):
                said = f"{place} lies among the files of sessions, which others may have written."
                hint = "Take it out of `skill_folders`, and put skills elsewhere."
                found.append((place, SkillError(said, hint=hint)))
                continue
            found += [(folder, self._read(folder)) for folder in _folders(place)]
        return found

    def _read(self, folder: Path) -> Skill | SkillError:
        stamp = _stamp(folder)
        known = self._known.get(folder)
        if known is None or known[0] != stamp:
            read: Skill | SkillError
            try:
                read = read_skill(folder)
            except SkillError as error:
                read = error
                logger.warning("a skill is left out: {}", error)
            except OSError as error:
                read = SkillError(f"{folder} cannot be read: {error.strerror}.")
            known = self._known[folder] = (stamp, read)
        return known[1]


def narrowed(skills: list[Skill], request: str, most: int = SHOWN) -> list[Skill]:
    """Return the skills that fit a request best, in their old order: those that share rare words with it."""
    if len(skills) <= most:
        return skills
    bags = {skill.name: _stems(f"{skill.name} {skill.description}") for skill in skills}
    spread = Counter(stem for bag in bags.values() for stem in bag)
    asked = _stems(request)
    scores = {name: sum(1 / spread[stem] for stem in asked & bag) for name, bag in bags.items()}
    best = {skill.name for skill in sorted(skills, key=lambda skill: -scores[skill.name])[:most]}
    return [skill for skill in skills if skill.name in best]


def _stems(text: str) -> set[str]:
    return {word.casefold()[:STEM] for word in WORD.findall(text)}


def _is_named(name: str, said: str) -> bool:
    if f" skill {name} " in said or f" {name} skill " in said or f" /skill {name} " in said:
        return True
    return "-" in name and f" {name} " in said


def _folders(place: Path) -> list[Path]:
    """Return the folders of a place that are meant as skills: those with a SKILL.md."""
    try:
        with os.scandir(place) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError:
        return []
    return [place / name for name in names if (place / name / MANUAL).is_file()][:MOST_SKILLS]


def _stamp(folder: Path) -> tuple[float, ...]:
    """Return what changes when a skill's manual or its files do."""
    try:
        manual = (folder / MANUAL).stat()
        times = [manual.st_mtime_ns, manual.st_size, folder.stat().st_mtime_ns]
        with os.scandir(folder) as entries:
            times += [entry.stat(follow_symlinks=False).st_mtime_ns for entry in entries if not entry.is_file()]
    except OSError:
        return ()
    return tuple(times)
