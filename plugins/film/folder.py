"""A film's folder in the workspace: `films/NAME/`, which all its pipelines read from and write to."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.files.paths import new_path
from plugins.film import scripts, shooting
from plugins.film.records import Script, Shot, slug

ROOT = "films"
ABOUT, SCRIPT, SHOTS = "film.json", "script.md", "shots.csv"
MAX_BYTES = 2_000_000
MAX_ARCHIVE = 500_000_000


@dataclass(frozen=True, slots=True)
class Folder:
    """One film's folder. Paths that are returned are those within the workspace."""

    name: str

    @classmethod
    def of(cls, name: str) -> Folder:
        """Return the folder of a film that exists. Raises ToolFailure naming those that do."""
        folder = cls(slug(name))
        if not folder.path(ABOUT).is_file():
            there = ", ".join(names()) or "none"
            hint = f"There are: {there}. `/run film name={slug(name)} idea=…` begins one."
            raise ToolFailure(f"There is no film {name!r}.", hint=hint)
        return folder

    def path(self, name: str) -> Path:
        """Return the path of a file of the film."""
        return new_path(f"{ROOT}/{self.name}/{name}")

    def write(self, name: str, content: str) -> str:
        """Write a file whole or not at all; return its path."""
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_text(content, encoding="utf-8")
        part.replace(target)
        return str(target)

    def read(self, name: str) -> str:
        """Return a file's text. Raises ToolFailure when it is not there, or too large."""
        file = self.path(name)
        if not file.is_file():
            raise ToolFailure(f"The film {self.name!r} has no {name} yet.", hint="An earlier step makes it.")
        if file.stat().st_size > MAX_BYTES:
            raise ToolFailure(f"{file} has more than {MAX_BYTES // 1_000_000} MB.")
        return file.read_text(encoding="utf-8", errors="replace")

    def about(self) -> dict[str, Any]:
        """Return what the film is to be: title, idea, seconds, language, style, credits."""
        try:
            found = json.loads(self.read(ABOUT))
        except ValueError:
            raise ToolFailure(f"{self.path(ABOUT)} is damaged.", hint="Begin the film again.") from None
        return found if isinstance(found, dict) else {}

    def script(self) -> Script:
        """Return the script, as it stands now."""
        return scripts.parse(self.read(SCRIPT), str(self.about().get("title") or self.name))

    def shots(self, script: Script | None = None) -> list[Shot]:
        """Return the list of shots, as it stands now."""
        return shooting.from_csv(self.read(SHOTS), script or self.script())

    def frame(self, shot: Shot) -> str:
        """Return where the picture of a shot lies."""
        return f"{ROOT}/{self.name}/frames/{shot.number}.png"

    def files(self) -> list[str]:
        """Return the paths of all files of the film, sorted."""
        base = self.path("")
        found = (path for path in base.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted(str(path) for path in found if not path.name.startswith("."))

    def archive(self, name: str, kept: Iterable[str]) -> str:
        """Put files into a zip file; return its path. Raises ToolFailure for too many bytes."""
        target = self.path(name)
        paths = [Path(path) for path in kept if Path(path) != target]
        size = sum(path.stat().st_size for path in paths)
        if size > MAX_ARCHIVE:
            raise ToolFailure(f"The film has {size // 1_000_000} MB; an archive may have {MAX_ARCHIVE // 1_000_000}.")
        part = target.with_name(f".{target.name}.part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                stored = path.suffix.lower() in {".png", ".jpg", ".gif", ".mp4", ".zip"}
                kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.write(path, str(path.relative_to(ROOT)), compress_type=kind)
        part.replace(target)
        return str(target)


def names() -> list[str]:
    """Return the names of all films in the workspace."""
    base = Path(ROOT)
    return sorted(path.parent.name for path in base.glob(f"*/{ABOUT}")) if base.is_dir() else []
