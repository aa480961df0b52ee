"""The text in pictures, read by the `tesseract` program where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from plugins.api import ToolFailure
from plugins.documents.reading import Document

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif")
INSTALL = "Install it with: sudo apt install tesseract-ocr (macOS: brew install tesseract)."
MOST_PIXELS = 80_000_000
SECONDS = 90


def picture(path: Path) -> Document:
    """Return the text that a picture shows."""
    width, height = _size(path)
    program = shutil.which("tesseract")
    if program is None:
        raise ToolFailure(
            f"'{path.name}' is a picture ({width}×{height}); reading its text needs the program tesseract.",
            hint=INSTALL,
        )
    languages = _languages(program)
    command = [program, str(path), "stdout", *(["-l", languages] if languages else [])]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603  # no shell
    except subprocess.TimeoutExpired as error:
        raise ToolFailure(
            f"Reading '{path.name}' took longer than {SECONDS} seconds.", hint="Send a smaller picture."
        ) from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise ToolFailure(f"tesseract could not read '{path.name}': {reason[-1] if reason else 'no reason given'}.")
    text = done.stdout.decode("utf-8", errors="replace").strip()
    if not text:
        raise ToolFailure(
            f"No text was found in '{path.name}' ({width}×{height}).", hint="Send a sharper or larger picture."
        )
    return Document("picture", [("", text)], notes=["The text was read from a picture; letters may be wrong."])


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ToolFailure(
            f"'{path.name}' is damaged and can't be read as a picture.", hint="Send the file again."
        ) from error
    if width * height > MOST_PIXELS:
        raise ToolFailure(
            f"'{path.name}' has {width}×{height} pixels, which is more than is read.", hint="Send a smaller picture."
        )
    return width, height


def _languages(program: str) -> str:
    """Return those of English, German and French that are installed, joined as tesseract wants them."""
    done = subprocess.run([program, "--list-langs"], capture_output=True, timeout=20, check=False)  # noqa: S603  # no shell
    there = set(done.stdout.decode("utf-8", errors="replace").split())
    return "+".join(language for language in ("eng", "deu", "fra") if language in there)
