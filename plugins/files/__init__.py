"""Files of the session's workspace: list, read, write, edit, search, convert, copy, move and delete.

Paths are relative to the workspace. Text is UTF-8, with or without a byte order mark; what is not UTF-8 is read as
Windows-1252, and said so. Deleting is undone by nothing, and reaches only the workspace.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from plugins.api import Button, Field, File, Form, Menu, Output, Plugin, ToolFailure, tool
from plugins.files import convert
from plugins.files.paths import existing, free_path, matches, meant, new_path, walk
from plugins.files.text import MAX_TEXT_FILE, is_binary, size_in_words, text_of

plugin = Plugin(
    ui=(
        Menu("Files", (Button("List my files", "list my files"), Button("Tables", "list files matching *.csv"))),
        Form(
            "Convert a file",
            "convert_file",
            (
                Field("path", "Which file?", "file"),
                Field("to", "Into what?", "choice", ("csv", "json", "xlsx", "parquet", "png", "jpg", "html")),
            ),
        ),
        Form("Search my files", "search_files", (Field("pattern", "What are you looking for?"),)),
    ),
)

MAX_READ = 60_000
MAX_LISTED = 500
MAX_HITS = 200
PREVIEW = 300
# What is read as it is. Tables and documents have tools of their own; a model may read any file that holds text.
TEXTS = (
    *(".txt", ".md", ".markdown", ".rst", ".log", ".py", ".js", ".ts", ".css", ".sh", ".sql", ".toml", ".yaml"),
    *(".yml", ".ini", ".cfg", ".conf", ".env", ".xml", ".tex", ".srt", ".diff", ".patch", ".c", ".h", ".go", ".rs"),
)


@tool(
    effect="pure",
    produces=("text",),
    examples=(
        "list my files",
        "list files",
        "what files are there",
        "which files do I have",
        "what files do I have",
        "show all my files",
        "what is in my workspace",
        "show my files",
        "list all {pattern} files",
        "which {pattern} files are there",
        "which {pattern} files do I have",
        "show all {pattern} files",
        "list files matching {pattern}",
        "welche dateien gibt es",
        "liste meine dateien auf",
        "quels fichiers y a-t-il",
    ),
)
def list_files(pattern: str = "*") -> Output:
    """List the workspace's files, newest first, with size and time; `*.csv` or `data/**` narrows it."""
    suffix = re.fullmatch(r"\.?(\w{1,5})", pattern)
    glob = f"*.{suffix[1]}" if suffix and not Path(pattern).exists() else pattern
    found = [path for path in walk() if matches(path, glob)]
    found.sort(key=lambda path: (-path.stat().st_mtime, str(path)))
    rows = [_facts(path) for path in found[:MAX_LISTED]]
    if not rows:
        return Output([], "The workspace is empty." if glob == "*" else f"No file matches {pattern!r}.")
    more = len(found) - len(rows)
    lines = [f"{row['path']}  {size_in_words(row['size'])}  {row['modified'][:16].replace('T', ' ')}" for row in rows]
    return Output(rows, "\n".join([*lines, f"… and {more:,} more"] if more else lines))


@tool(
    effect="pure",
    produces=("text",),
    examples=(
        "read {path}",
        "show {path}",
        "open {path}",
        "print {path}",
        "show me the contents of {path}",
        "what does {path} say",
        "what is in {path}",
        "summarize {path}",
        "summarise {path}",
        "was steht in {path}",
        "read {path} aloud",
        "lis {path}",
        "lies {path}",
        "zeige {path}",
        "montre {path}",
    ),
)
def read_file(path: Annotated[str, File(*TEXTS)], start_line: int = 1, lines: int = 0) -> Output:
    """Read a text file, or `lines` of it from `start_line` on."""
    file = existing(path)
    text, encoding = text_of(file)
    every = text.splitlines()
    if start_line < 1 or (start_line > len(every) and every):
        raise ToolFailure(f"{path} has {len(every):,} lines; line {start_line:,} is not one of them.")
    last = start_line - 1 + lines if lines > 0 else len(every)
    part = "\n".join(every[start_line - 1 : last])
    shown = part[:MAX_READ]
    notes = [f"(read as {encoding})"] if encoding not in {"utf-8", "utf-8-sig"} else []
    if len(shown) < len(part):
        upto = start_line + shown.count("\n")
        notes.append(f"… the first {MAX_READ:,} characters, up to line {upto:,} of {len(every):,}")
    body = shown or "(the file is empty)"
    return Output(shown, "\n".join([body, *notes]), partial=len(shown) < len(part))


@tool(
    produces=("text",),
    examples=(
        "write {text} to {path}",
        "save {text} as {path}",
        "create a file {path} with {text}",
        "schreibe {text} in {path}",
    ),
)
def write_file(path: str, text: str, append: bool = False) -> Output:  # noqa: FBT001, FBT002  # called by name
    """Write a text file, replacing what it held, or append to it."""
    file = new_path(path)
    existed = file.exists()
    if existed and append:
        return append_file(path, text)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="")
    done = "Replaced" if existed else "Wrote"
    return Output(str(file), f"{done} {file} ({size_in_words(file.stat().st_size)}).", files=(str(file),))


@tool(
    produces=("text",),
    examples=(
        "append {text} to {path}",
        "put {text} in {path}",
        "füge {text} zu {path} hinzu",
        "add {text} to {path}",
        "add the line {text} to {path}",
        "hänge {text} an {path} an",
        "ajoute {text} à {path}",
    ),
)
def append_file(path: Annotated[str, File()], text: str) -> Output:
    """Add a text at the end of a file, on a line of its own."""
    file = new_path(path)
    if not file.exists():
        return write_file(path, text)
    before, encoding = text_of(existing(path))
    glue = "" if not before or before.endswith("\n") else "\n"
    encoded = (glue + text).encode("utf-8" if encoding == "utf-8-sig" else encoding, errors="xmlcharrefreplace")
    with file.open("ab") as out:
        out.write(encoded.removeprefix(b"\xff\xfe") if encoding == "utf-16" else encoded)
    return Output(str(file), f"Appended to {file} ({size_in_words(file.stat().st_size)}).", files=(str(file),))


@tool(
    produces=("text",),
    examples=(
        "replace {find} with {replace} in {path}",
        "change {find} to {replace} in {path}",
        "ersetze {find} durch {replace} in {path}",
        "remplace {find} par {replace} dans {path}",
    ),
)
def edit_file(path: Annotated[str, File()], find: str, replace: str, all: bool = False) -> Output:  # noqa: A002, FBT001, FBT002  # called by name
    """Replace a text in a file; `all` replaces every place where it occurs."""
    file = existing(path)
    text, encoding = text_of(file)
    if not find:
        raise ToolFailure("The text to find is empty.", hint="write_file with append=true adds to a file.")
    count = text.count(find)
    if count == 0:
        raise ToolFailure(f"{path} does not contain {_short(find)}.", hint=_nearest_line(text, find))
    if count > 1 and not all:
        raise ToolFailure(
            f"{_short(find)} occurs {count} times in {path}.",
            hint="Give more of the text around the one that is meant, or all=true.",
        )
    file.write_bytes(text.replace(find, replace).encode(encoding, errors="xmlcharrefreplace"))
    places = "1 place" if count == 1 else f"{count} places"
    return Output(count, f"Changed {places} in {file}.", files=(str(file),))


@tool(
    effect="pure",
    produces=("text", "table"),
    examples=(
        "search {pattern} in {path}",
        "search for {pattern} in {path}",
        "find {pattern} in {path}",
        "find all lines with {pattern} in {path}",
        "find lines with {pattern} in {path}",
        "find the lines that contain {pattern} in {path}",
        "show the lines with {pattern} in {path}",
        "which lines of {path} contain {pattern}",
        "does {path} contain {pattern}",
        "search {path} for {pattern}",
        "look for {pattern} in {path}",
        "which files contain {pattern}",
        "search my files for {pattern}",
        "search for {pattern} in my files",
        "search {pattern} in my files",
        "find {pattern} in my files",
        "grep {pattern} in {path}",
        "suche {pattern} in {path}",
        "cherche {pattern} dans {path}",
    ),
)
def search_files(pattern: str, path: Annotated[str, File()] = "*", regex: bool = False) -> Output:  # noqa: FBT001, FBT002  # called by name
    """Find lines with a text (any case) or a regular expression in a file, a folder or a glob such as `*.md`."""
    wanted = _compiled(pattern, regex=regex)
    hits: list[dict[str, Any]] = []
    searched = 0
    for file in meant(path):
        searched += 1
        hits += _hits(file, wanted, MAX_HITS + 1 - len(hits))
        if len(hits) > MAX_HITS:
            break
    if not hits:
        return Output([], f"{_short(pattern)} was not found in {searched:,} file{'' if searched == 1 else 's'}.")
    shown = hits[:MAX_HITS]
    lines = [f"{hit['path']}:{hit['line']}: {hit['text']}" for hit in shown]
    more = [f"… only the first {MAX_HITS} lines are shown"] if len(hits) > MAX_HITS else []
    return Output(shown, "\n".join(lines + more))


@tool(
    data=True,
    produces=(".csv", ".json", ".jsonl", ".xlsx", ".parquet", ".png", ".jpg", ".webp", ".html"),
    examples=(
        "convert {path} to {to}",
        "turn {path} into {to}",
        "make {path} a {to}",
        "save {path} as {to}",
        "export {path} as {to}",
        "konvertiere {path} nach {to}",
        "wandle {path} in {to} um",
        "convertis {path} en {to}",
    ),
)
def convert_file(path: Annotated[str, File()], to: str) -> Output:
    """Convert a file: tables (csv, tsv, json, jsonl, xlsx, parquet), pictures (png, jpg, webp, …), Markdown to html."""
    file = existing(path)
    target = new_path(str(convert.target_of(file, to)))
    if target == file:
        raise ToolFailure(f"{path} already is what it should become.", hint="Name another format or file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    note = convert.convert(file, target)
    said = f"Converted {file} to {target} ({size_in_words(target.stat().st_size)}).{note}"
    return Output(str(target), said, files=(str(target),))


@tool(
    examples=(
        "move {path} to {to}",
        "rename {path} to {to}",
        "benenne {path} in {to} um",
        "verschiebe {path} nach {to}",
        "renomme {path} en {to}",
    ),
)
def move_file(path: Annotated[str, File()], to: str) -> Output:
    """Move or rename a file or folder; never over one that exists."""
    source = existing(path, folder=True)
    target = free_path(source, to)
    shutil.move(source, target)
    return Output(str(target), f"Moved {source} to {target}.")


@tool(
    examples=("copy {path} to {to}", "duplicate {path} as {to}", "kopiere {path} nach {to}", "copie {path} vers {to}")
)
def copy_file(path: Annotated[str, File()], to: str) -> Output:
    """Copy a file or folder; never over one that exists."""
    source = existing(path, folder=True)
    target = free_path(source, to)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
    return Output(str(target), f"Copied {source} to {target}.")


@tool(
    examples=(
        "delete {path}",
        "delete the file {path}",
        "remove {path}",
        "remove the file {path}",
        "throw away {path}",
        "lösche {path}",
        "lösche die Datei {path}",
        "supprime {path}",
    )
)
def delete_file(path: Annotated[str, File()]) -> Output:
    """Delete a file, or a folder with all that is in it, from the workspace."""
    file = existing(path, folder=True)
    if file.is_dir() and not file.is_symlink():
        count = sum(1 for one in walk() if file in one.parents)
        shutil.rmtree(file)
        return Output(str(file), f"Deleted the folder {file} with {count:,} file{'' if count == 1 else 's'}.")
    file.unlink()
    return Output(str(file), f"Deleted {file}.")


@tool(
    effect="pure",
    produces=("text",),
    examples=("file info {path}", "how big is {path}", "what kind of file is {path}", "wie groß ist {path}"),
)
def file_info(path: Annotated[str, File()]) -> Output:
    """Tell a file's size, time, kind and SHA-256, and its lines or picture size."""
    import hashlib
    import mimetypes

    file = existing(path)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    facts = {**_facts(file), "kind": kind, "sha256": digest, **_inside(file, kind)}
    lines = [f"{key}: {size_in_words(value) if key == 'size' else value}" for key, value in facts.items()]
    return Output(facts, "\n".join(lines))


def _inside(file: Path, kind: str) -> dict[str, Any]:
    if kind.startswith("image/") and kind != "image/svg+xml":
        width, height = convert.picture_size(file)
        return {"width": width, "height": height} if width else {}
    if file.stat().st_size > MAX_TEXT_FILE or is_binary(file):
        return {}
    text, encoding = text_of(file)
    return {"lines": len(text.splitlines()), "encoding": encoding}


def _compiled(pattern: str, *, regex: bool) -> re.Pattern[str]:
    if not pattern:
        raise ToolFailure("The text to search for is empty.")
    try:
        return re.compile(pattern if regex else re.escape(pattern), re.IGNORECASE)
    except re.error as problem:
        raise ToolFailure(f"{pattern!r} is not a regular expression: {problem}.", hint="Use regex=false.") from problem


def _hits(file: Path, wanted: re.Pattern[str], room: int) -> list[dict[str, Any]]:
    if file.stat().st_size > MAX_TEXT_FILE or is_binary(file):
        return []
    hits = []
    for number, line in enumerate(text_of(file)[0].splitlines(), start=1):
        found = wanted.search(line)
        if found:
            start = max(found.start() - PREVIEW // 2, 0)
            hits.append({"path": str(file), "line": number, "text": line[start : start + PREVIEW].strip()})
            if len(hits) >= room:
                break
    return hits


def _nearest_line(text: str, find: str) -> str:
    import difflib

    wanted = find.strip().splitlines()[0] if find.strip() else find
    lines = [line.strip() for line in text.splitlines()[:5_000]]
    near = difflib.get_close_matches(wanted, lines, n=1, cutoff=0.5)
    return f"The nearest line is: {near[0][:PREVIEW]}" if near else "read_file shows what it contains."


def _facts(path: Path) -> dict[str, Any]:
    stat = path.stat()
    modified = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat(timespec="seconds")
    return {"path": str(path), "size": stat.st_size, "modified": modified}


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
