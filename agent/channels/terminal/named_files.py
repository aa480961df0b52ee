"""Files that a request names: found where the person is, copied to where the agent may read them."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.messages import Attachment
from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import Iterable

WORD = re.compile(r"""["'`“”„«»]([^"'`“”„«»\n]+)["'`“”„«»]|(\S+)""")
AROUND = "\"'`“”„«»()[]{}<>,;:!?"
MOST_ENTRIES = 5_000


def named_files(request: str, folder: Path) -> list[Path]:
    """Return the regular files that the request names, by path or by name in `folder`, in the order of the names.

    A name needs a dot or a slash, so that a file called `test` does not come along whenever somebody writes "test".
    Names with spaces are found in quotation marks, or when they lie in the folder.
    """
    found: dict[Path, int] = {}
    for match in WORD.finditer(request):
        words = [match[1]] if match[1] else [match[2].strip(AROUND), match[2].strip(AROUND).rstrip(".")]
        for word in words:
            file = _file(word, folder)
            if file is not None:
                found.setdefault(file, match.start())
    for name in _names_with_spaces(folder):
        if name in request:
            found.setdefault(folder / name, request.index(name))
    return sorted(found, key=lambda file: found[file])


def _file(word: str, folder: Path) -> Path | None:
    if not ({".", "/"} & set(word)) or not word.strip("./~"):
        return None
    try:
        file = folder / Path(word).expanduser()
        return Path(os.path.normpath(file)) if file.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _names_with_spaces(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            listed = [entry for entry, _ in zip(entries, range(MOST_ENTRIES), strict=False)]
        return [entry.name for entry in listed if " " in entry.name and "." in entry.name and entry.is_file()]
    except OSError:
        return []


def take_in(files: Iterable[Path], folder: Path) -> tuple[Attachment, ...]:
    """Copy the files into `folder` and return them as attachments; equal names are numbered.

    Raises DirigentError when one cannot be read.
    """
    taken = []
    for file in files:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = _free(folder, file.name)
        try:
            shutil.copyfile(file, target)
        except OSError as error:
            raise DirigentError(f"{file} cannot be attached: {error.strerror}.") from None
        mime = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
        taken.append(Attachment(name=target.name, path=str(target), mime=mime, size=target.stat().st_size))
    return tuple(taken)


def _free(folder: Path, name: str) -> Path:
    target, number = folder / name, 2
    while target.exists():
        target = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return target
