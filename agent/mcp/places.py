"""Where on this machine a server's program lies, so that the sandbox can be told to show it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

SEEN_INSIDE = (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64"), Path("/sbin"))
MOST_LINKS = 16
LINE = 512
MODULES = "node_modules"
FETCHERS = {
    "npx": "npm install --prefix DIR PACKAGE",
    "bunx": "bun add --cwd DIR PACKAGE",
    "uvx": "uv venv DIR && uv pip install --python DIR PACKAGE",
    "pipx": "python3 -m venv DIR && DIR/bin/pip install PACKAGE",
}
"""Programs that fetch what they run, and what installs it once instead."""


def command_of(command: Sequence[str]) -> list[str]:
    """Return the command with its program's whole path, as this machine finds it; as it is when it does not."""
    found = shutil.which(command[0]) if command else None
    return [found, *command[1:]] if found else list(command)


def folders_of(program: str) -> list[Path]:
    """Return the folders outside of the system's that a program needs: its own, and those of its interpreter.

    For `/opt/clock/bin/mcp-server-time` of a virtual environment these are `/opt/clock` and the home of its Python; for
    a package for Node it is the `node_modules` that holds what it needs, too. A folder that holds more than programs
    (the root, a person's home) is never among them.
    """
    if not Path(program).is_absolute():
        return []
    never = {Path("/"), Path.home(), *Path.home().parents}
    found: list[Path] = []
    for path in _chain(program):
        folder = _whole(path)
        outside = not any(folder.is_relative_to(known) for known in SEEN_INSIDE)
        if outside and folder not in never and not any(folder.is_relative_to(one) for one in found):
            found.append(folder)
    return found


def _whole(path: Path) -> Path:
    """Return the folder that a program was installed into with all that it needs."""
    if MODULES in path.parts:
        return Path(*path.parts[: path.parts.index(MODULES) + 1])
    return path.parent.parent if path.parent.name in {"bin", "sbin", "Scripts"} else path.parent


def _chain(program: str) -> Iterator[Path]:
    """Yield a program, what it is a link to, and the same of the interpreter that its first line names."""
    path = Path(program)
    for _ in range(MOST_LINKS):
        yield path
        if not path.is_symlink():
            break
        path = Path(os.path.normpath(path.parent / path.readlink()))
    interpreter = _interpreter(path)
    if interpreter and interpreter != program:
        yield from _chain(interpreter)


def _interpreter(path: Path) -> str:
    try:
        with path.open("rb") as file:
            first = file.readline(LINE).decode(errors="replace")
    except OSError:
        return ""
    if not first.startswith("#!"):
        return ""
    words = shlex.split(first[2:].strip(), posix=True) or [""]
    if Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-")] or [""]
        return shutil.which(words[0]) or ""
    return words[0]
