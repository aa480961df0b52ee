"""Where files are: paths within the workspace, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from plugins.api import ToolFailure

MAX_WALK = 50_000


def new_path(path: str) -> Path:
    """Return a path within the workspace, relative to it. The walls hold without this; it makes mistakes readable."""
    plain = path.strip()
    if not plain or "\0" in plain:
        raise ToolFailure("The path is empty.", hint="Give a path within the workspace such as notes/today.md.")
    base = Path.cwd().resolve()
    whole = (base / Path(plain).expanduser()).resolve()
    if not whole.is_relative_to(base):
        raise ToolFailure(f"{path!r} is outside the workspace.", hint="Use a path within it, without a leading '/'.")
    if whole == base:
        raise ToolFailure(f"{path!r} is the workspace itself.", hint="Name a file or folder in it.")
    asked = base / plain
    if asked.is_symlink():
        # A link is moved or deleted itself, not what it leads to.
        return (asked.parent.resolve() / asked.name).relative_to(base)
    return whole.relative_to(base)


def existing(path: str, *, folder: bool = False) -> Path:
    """Return the path of a file (or folder) that exists; raises ToolFailure naming the nearest."""
    file = new_path(path)
    if file.is_dir():
        if folder:
            return file
        raise ToolFailure(f"{path!r} is a folder.", hint=f"list_files with pattern {str(file) + '/**'!r} shows it.")
    if file.is_file():
        return file
    import difflib

    names = [str(one) for one in walk()]
    near = difflib.get_close_matches(str(file), names, n=3) or [n for n in names if Path(n).stem == file.stem][:3]
    hint = f"Did you mean {' or '.join(near)}?" if near else "list_files shows what is there."
    raise ToolFailure(f"There is no file {path!r} in the workspace.", hint=hint)


def free_path(source: Path, to: str) -> Path:
    """Return where `source` goes: into `to` if that is a folder, else to that name. Refuses to replace anything."""
    base = Path.cwd().resolve()
    here = (base / to).resolve() == base
    folder = here or to.endswith("/") or (base / to).is_dir()
    target = Path(source.name) if here else new_path(str(Path(to) / source.name) if folder else to)
    if target.exists():
        raise ToolFailure(f"{target} already exists.", hint="Choose another name, or delete that one first.")
    if source in target.parents:
        raise ToolFailure(f"{source} can't go into itself.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def walk() -> Iterator[Path]:
    """Yield the workspace's regular files, without hidden ones, at most MAX_WALK; never through links."""
    waiting, count = [Path()], 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.name.startswith(".") or path.is_symlink():
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.is_file():
                count += 1
                if count > MAX_WALK:
                    return
                yield path


def matches(path: Path, glob: str) -> bool:
    """Say whether a file is meant by a glob, a folder's name, or a bare `*`."""
    if glob in {"*", "**", "", "."}:
        return True
    plain = glob.removeprefix("./")
    inside = plain.rstrip("/")
    if (Path.cwd() / inside).is_dir() and Path(inside) in path.parents:
        return True
    return fnmatch(str(path), plain) or ("/" not in plain and fnmatch(path.name, plain))


def meant(path: str) -> list[Path]:
    """Return the files that a path, folder or glob means; raises ToolFailure when there is none."""
    found = [one for one in walk() if matches(one, path)]
    if not found and path != "*":
        if any(sign in path for sign in "*?["):
            raise ToolFailure(f"No file matches {path!r}.", hint="list_files shows what is there.")
        return [existing(path)]
    return found
