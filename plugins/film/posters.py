"""A film's poster: its title over one of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plugins.film.records import Script

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (1000, 1500)
PALE, ACCENT = (246, 242, 232), (196, 70, 44)


def make(target: Path, script: Script, picture: str, frames: list[str]) -> str:
    """Draw the poster on a picture (the most colourful frame unless one is named); return its path."""
    from plugins.files.paths import existing
    from plugins.media.frames import title_card
    from plugins.media.pictures import opened

    there = [opened(existing(picture))] if picture else [opened(Path(one)) for one in frames if Path(one).is_file()]
    shown = max(there, key=_colourful) if there else title_card("")
    made = _poster(shown, script)
    target.parent.mkdir(parents=True, exist_ok=True)
    made.save(target)
    return str(target)


def _colourful(picture: Image) -> float:
    from PIL import ImageStat

    small = picture.resize((64, 36)).convert("HSV")
    spread = ImageStat.Stat(small)
    return float(spread.mean[1] + spread.stddev[2])


def _poster(picture: Image, script: Script) -> Image:
    from PIL import Image, ImageDraw, ImageFilter, ImageOps

    from plugins.media.fonts import Type

    made = ImageOps.fit(picture.convert("RGB"), SIZE, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(1))
    shade = Image.new("L", (1, SIZE[1]))
    for y in range(SIZE[1]):
        shade.putpixel((0, y), round(max(110 - y * 0.35, 0) + 225 * max(0.0, (y - 800) / 700) ** 0.8))
    made.paste(Image.new("RGB", SIZE, (10, 11, 14)), (0, 0), shade.resize(SIZE))
    draw = ImageDraw.Draw(made)
    cast = " · ".join(one.name for one in script.characters[:4])
    Type(26, "bold").write(
        draw, (SIZE[0] / 2, 60), Type(26, "bold").wrap(cast, 880, 1)[0] if cast else "", PALE, anchor="m"
    )
    head, small = Type(92, "title"), Type(30, "italic")
    lines, under = head.wrap(script.title, 880, 3), small.wrap(script.logline, 820, 3)
    y = 1380 - len(lines) * head.height - len(under) * small.height
    for line in lines:
        head.write(draw, (SIZE[0] / 2, y), line, PALE, anchor="m")
        y += head.height
    draw.rectangle([SIZE[0] / 2 - 60, y + 12, SIZE[0] / 2 + 60, y + 16], fill=ACCENT)
    y += 36
    for line in under:
        small.write(draw, (SIZE[0] / 2, y), line, PALE, anchor="m")
        y += small.height
    return made
