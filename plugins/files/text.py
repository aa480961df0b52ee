"""What text files hold, whatever their encoding."""

from __future__ import annotations

from pathlib import Path

from plugins.api import ToolFailure

MAX_TEXT_FILE = 50_000_000
PROBE = 8_192


def is_binary(file: Path) -> bool:
    """Say whether a file is no text: it holds a zero byte and is not UTF-16."""
    with file.open("rb") as opened:
        start = opened.read(PROBE)
    return b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff"))


def text_of(file: Path) -> tuple[str, str]:
    """Return a file's text and its encoding. Raises ToolFailure for what is too large or no text."""
    if file.stat().st_size > MAX_TEXT_FILE:
        limit = size_in_words(MAX_TEXT_FILE)
        raise ToolFailure(
            f"{file} has {size_in_words(file.stat().st_size)}; as text I read at most {limit}.", hint="Use python."
        )
    if is_binary(file):
        hint = "extract_text reads documents; python reads anything." if file.suffix else "file_info tells what it is."
        raise ToolFailure(f"{file} is not a text file.", hint=hint)
    data = file.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), "utf-16"
    if data.startswith(b"\xef\xbb\xbf"):
        return data.decode("utf-8-sig", errors="replace"), "utf-8-sig"
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "latin-1"


def size_in_words(count: float) -> str:
    """Return a size in bytes as people read it, such as `1.5 MB`."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} GB"
