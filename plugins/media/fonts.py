"""Text in pictures: wrapped, in any alphabet that a font here knows, and never a failure for one that none knows."""

from __future__ import annotations

import functools
import importlib.util
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

_STYLES = {
    "plain": "DejaVuSans",
    "bold": "DejaVuSans-Bold",
    "italic": "DejaVuSans-Oblique",
    "title": "DejaVuSerif-Bold",
}
_FAR = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "msyh.ttc",
)
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "C:/Windows/Fonts")
_SILENT = {"\ufe0f", "\u200d", "\u200b", "\u00ad"}
_BOX = "□"
Colour = tuple[int, int, int]


@functools.cache
def _own_folder() -> Path:
    """Return where matplotlib keeps the DejaVu fonts; it is looked up without being imported."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None, "matplotlib comes with Dirigent"
    return Path(str(found.origin)).parent / "mpl-data" / "fonts" / "ttf"


@functools.cache
def _far_file() -> Path | None:
    """Return a font for Chinese, Japanese and Korean, if the system has one."""
    for folder in map(Path, _FOLDERS):
        if folder.is_dir():
            for name in _FAR:
                if found := next(folder.rglob(name), None):
                    return found
    return None


@functools.cache
def _known(file: Path) -> frozenset[int]:
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    with TTFont(file, fontNumber=0, lazy=True) as font:
        return frozenset(font.getBestCmap() or ())


@functools.cache
def _font(file: Path, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(file, size)


@dataclass(frozen=True, slots=True)
class Type:
    """A typeface in one size (pixels): `plain`, `bold`, `italic` or `title`."""

    size: int
    style: str = "plain"

    @property
    def height(self) -> int:
        """The distance of two lines, in pixels."""
        return round(self.size * 1.34)

    def width(self, text: str) -> float:
        """Return how wide a line is, in pixels."""
        return sum(font.getlength(part) for font, part in self._runs(text))

    def write(self, draw: ImageDraw, at: tuple[float, float], text: str, fill: Any, anchor: str = "l") -> None:
        """Write one line; `at` is its top left (`l`), top middle (`m`) or top right (`r`)."""
        x, y = at
        if anchor != "l":
            x -= self.width(text) / (2 if anchor == "m" else 1)
        base = y + self.size  # fonts of different heights stand on one line
        for font, part in self._runs(text):
            draw.text((x, base), part, font=font, fill=fill, anchor="ls")
            x += font.getlength(part)

    def wrap(self, text: str, width: float, lines: int) -> list[str]:
        """Return the text in lines of at most this width; what is left over ends in an ellipsis."""
        made: list[str] = []
        line = ""
        for word in _words(text):
            longer = f"{line}{word}" if line else word.lstrip()
            if not line or self.width(longer.rstrip()) <= width:
                line = longer
                continue
            made.append(line.rstrip())
            line = word.lstrip()
        made += [line.rstrip()] if line.strip() else []
        made = [part for one in made for part in self._cut(one, width)]
        if len(made) <= lines:
            return made
        return [*made[: lines - 1], self._shortened(f"{made[lines - 1]}…", width)]

    def _cut(self, line: str, width: float) -> Iterator[str]:
        """Cut a word that is longer than a line."""
        while line and self.width(line) > width:
            end = max(1, int(len(line) * width / self.width(line)))
            while end > 1 and self.width(line[:end]) > width:
                end -= 1
            yield line[:end]
            line = line[end:]
        if line:
            yield line

    def _shortened(self, line: str, width: float) -> str:
        while len(line) > 2 and self.width(line) > width:
            line = line[:-2].rstrip() + "…"
        return line

    def _runs(self, text: str) -> Iterator[tuple[FreeTypeFont, str]]:
        """Cut a line into pieces of one font; what no font has becomes a box."""
        files = [_own_folder() / f"{_STYLES[self.style]}.ttf", _own_folder() / "DejaVuSans.ttf"]
        files += [far] if not text.isascii() and (far := _far_file()) else []
        run, last = "", files[0]
        for char in text:
            if char in _SILENT or unicodedata.category(char) in {"Cc", "Cf", "Cs"}:
                continue
            file = next((one for one in files if ord(char) in _known(one)), None)
            shown, file = (char, file) if file else (_BOX, files[0])
            if file != last and run:
                yield _font(last, self.size), run
                run = ""
            run, last = run + shown, file
        if run:
            yield _font(last, self.size), run


def missing(text: str) -> str:
    """Return the characters that no font here can show, each once."""
    files = [_own_folder() / "DejaVuSans.ttf", *([far] if (far := _far_file()) else [])]
    letters = dict.fromkeys(char for char in text if char.isprintable() and not char.isspace() and char not in _SILENT)
    return "".join(char for char in letters if not any(ord(char) in _known(file) for file in files))


def _words(text: str) -> Iterator[str]:
    """Cut a text where a line may end: before spaces, and around each letter of scripts that use none."""
    word = ""
    for char in " ".join(text.split()):
        wide = unicodedata.east_asian_width(char) in {"W", "F"}
        if (char == " " or wide) and word:
            yield word
            word = ""
        word += char
        if wide:
            yield word
            word = ""
    if word:
        yield word
