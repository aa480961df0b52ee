"""From a shot to pictures: the picture alone, and the storyboard's card with its number, framing and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.media import backdrops, figures
from plugins.media.canvas import HEIGHT, WIDTH, Canvas, mix
from plugins.media.fonts import Type
from plugins.media.shots import Seen, Shot, seen

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

CARD = (1280, 960)
PAPER, INK, QUIET, RULE = (250, 248, 243), (28, 33, 40), (112, 118, 126), (222, 217, 206)
ACCENT = (196, 70, 44)
LABELS = {
    "ecu": "EXTREME CLOSE-UP",
    "cu": "CLOSE-UP",
    "mcu": "MEDIUM CLOSE-UP",
    "ms": "MEDIUM SHOT",
    "fs": "FULL SHOT",
    "ws": "WIDE SHOT",
    "ews": "EXTREME WIDE SHOT",
    "ots": "OVER THE SHOULDER",
    "two": "TWO SHOT",
    "insert": "INSERT",
}
_ANGLES = {"low": "LOW ANGLE", "high": "HIGH ANGLE", "dutch": "DUTCH ANGLE"}
_BAR, _PICTURE = 74, (1180, 664)


def picture(shot: Shot) -> Image:
    """Draw what the shot shows, 1280 × 720."""
    what = seen(shot)
    look = backdrops.colours(what)
    canvas = Canvas(what.seed, look.horizon)
    ground = backdrops.draw(canvas, what, look)
    figures.draw(canvas, what, look, ground)
    backdrops.weather(canvas, what, look)
    return canvas.done(turn=7.0 if what.angle == "dutch" else 0.0)


def card(shot: Shot, drawn: Image) -> Image:
    """Put a picture on the storyboard's card: number, framing, length, movement, and the words below."""
    from PIL import Image, ImageDraw

    made = Image.new("RGB", CARD, PAPER)
    draw = ImageDraw.Draw(made)
    what = seen(shot)
    _bar(draw, shot, what)
    left, top = (CARD[0] - _PICTURE[0]) // 2, _BAR + 14
    made.paste(fitted(drawn, *_PICTURE), (left, top))
    draw.rectangle([left, top, left + _PICTURE[0], top + _PICTURE[1]], outline=INK, width=3)
    _arrows(draw, what.move, (left, top, left + _PICTURE[0], top + _PICTURE[1]))
    _words(draw, shot, top + _PICTURE[1] + 18)
    return made


def fitted(drawn: Image, width: int, height: int) -> Image:
    """Return a picture cut and scaled to fill a place."""
    from PIL import Image, ImageOps

    return ImageOps.fit(drawn.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def _bar(draw: ImageDraw, shot: Shot, what: Seen) -> None:
    number = Type(38, "bold")
    draw.rectangle([0, 0, CARD[0], 6], fill=ACCENT)
    number.write(draw, (50, 18), shot.number, INK)
    x = 50 + number.width(shot.number) + 26
    labels = [LABELS[what.size], *([_ANGLES[what.angle]] if what.angle in _ANGLES else [])]
    labels += [shot.camera.upper()] if shot.camera else []
    pill = Type(19, "bold")
    for text in labels:
        shown = pill.wrap(text, 420, 1)[0]
        wide = pill.width(shown) + 28
        if x + wide > CARD[0] - 190:
            break
        draw.rounded_rectangle([x, 24, x + wide, 62], radius=19, outline=QUIET, width=2)
        pill.write(draw, (x + 14, 32), shown, INK)
        x += wide + 12
    Type(26, "bold").write(draw, (CARD[0] - 50, 26), f"{shot.seconds:g} s", ACCENT, anchor="r")


def _words(draw: ImageDraw, shot: Shot, y: float) -> None:
    wide = CARD[0] - 100
    if shot.heading:
        head = Type(19, "bold")
        head.write(draw, (50, y), head.wrap(shot.heading.upper(), wide, 1)[0], QUIET)
        y += 32
    text = Type(25)
    room = 2 if shot.dialogue else 4
    for line in text.wrap(shot.description, wide, room - (1 if shot.heading and not shot.dialogue else 0)):
        text.write(draw, (50, y), line, INK)
        y += text.height
    if shot.dialogue:
        said = Type(25, "italic")
        for line in said.wrap(shot.dialogue, wide - 26, max(1, int((CARD[1] - y - 14) // said.height))):
            draw.rectangle([50, y + 5, 54, y + said.height - 2], fill=ACCENT)
            said.write(draw, (70, y), line, QUIET)
            y += said.height


def _arrows(draw: ImageDraw, move: str, place: tuple[int, int, int, int]) -> None:
    """Draw how the camera moves, as storyboard artists do."""
    left, top, right, bottom = place
    middle, centre = (left + right) / 2, (top + bottom) / 2
    if move in {"pan left", "pan right", "track"}:
        way = -1 if move == "pan left" else 1
        _arrow(draw, (middle - way * 130, bottom - 42), (middle + way * 130, bottom - 42))
    elif move in {"tilt up", "tilt down"}:
        way = -1 if move == "tilt up" else 1
        _arrow(draw, (right - 46, centre - way * 110), (right - 46, centre + way * 110))
    elif move in {"push in", "pull out"}:
        for x, y in ((left, top), (right, top), (left, bottom), (right, bottom)):
            outer = (x + (28 if x == left else -28), y + (24 if y == top else -24))
            inner = (outer[0] + (96 if x == left else -96), outer[1] + (58 if y == top else -58))
            _arrow(draw, *((outer, inner) if move == "push in" else (inner, outer)))


def _arrow(draw: ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
    length = max(1.0, ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5)
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    back = (end[0] - dx * 26, end[1] - dy * 26)
    for colour, wide, wing in (((255, 255, 255), 13, 18), (ACCENT, 7, 14)):
        draw.line([start, back], fill=colour, width=wide)
        draw.polygon(
            [end, (back[0] - dy * wing, back[1] + dx * wing), (back[0] + dy * wing, back[1] - dx * wing)], fill=colour
        )


def sheet(cards: list[Image], title: str, below: str = "") -> Image:
    """Put small cards side by side under a title: the whole storyboard at a glance."""
    from PIL import Image, ImageDraw

    columns = 3 if len(cards) > 4 else max(1, min(2, len(cards)))
    wide, high, gap = 560, 420, 28
    rows = -(-len(cards) // columns)
    made = Image.new("RGB", (columns * (wide + gap) + gap, 150 + rows * (high + gap) + gap), mix(PAPER, RULE, 0.5))
    draw = ImageDraw.Draw(made)
    head = Type(44, "title")
    head.write(draw, (gap + 4, 34), head.wrap(title or "Storyboard", made.width - 2 * gap, 1)[0], INK)
    if below:
        Type(22).write(draw, (gap + 4, 96), Type(22).wrap(below, made.width - 2 * gap, 1)[0], QUIET)
    for number, one in enumerate(cards):
        x, y = gap + number % columns * (wide + gap), 150 + number // columns * (high + gap)
        draw.rectangle([x + 5, y + 6, x + wide + 5, y + high + 6], fill=mix(RULE, INK, 0.12))
        made.paste(one.resize((wide, high), Image.Resampling.LANCZOS), (x, y))
    return made


def title_card(title: str, below: str = "") -> Image:
    """Return a card with a title for the beginning and the end of a film, 1280 × 720."""
    from PIL import Image, ImageDraw

    made = Image.new("RGB", (WIDTH, HEIGHT), (16, 17, 21))
    draw = ImageDraw.Draw(made)
    head, small = Type(66, "title"), Type(27)
    lines = head.wrap(title, 1040, 3) or [""]
    under = [part for line in below.splitlines() for part in (small.wrap(line, 1000, 2) or [""])][:11]
    y = (HEIGHT - len(lines) * head.height - (34 + len(under) * small.height if under else 0)) / 2
    for line in lines:
        head.write(draw, (WIDTH / 2, y), line, (244, 240, 230), anchor="m")
        y += head.height
    if under:
        draw.rectangle([WIDTH / 2 - 46, y + 14, WIDTH / 2 + 46, y + 17], fill=ACCENT)
        y += 34
    for line in under:
        small.write(draw, (WIDTH / 2, y), line, (176, 176, 172), anchor="m")
        y += small.height
    return made


def subtitled(drawn: Image, text: str, note: str = "") -> Image:
    """Return a picture in 1280 × 720 with its words at the lower edge and a note in the corner."""
    from PIL import Image, ImageDraw

    made = fitted(drawn, WIDTH, HEIGHT)
    if text:
        said = Type(31, "bold")
        lines = said.wrap(text, 1060, 2)
        shade = Image.new("L", (1, HEIGHT), 0)
        for y in range(HEIGHT - 190, HEIGHT):
            shade.putpixel((0, y), round(175 * (y - HEIGHT + 190) / 190))
        made.paste(Image.new("RGB", made.size, (0, 0, 0)), (0, 0), shade.resize(made.size))
        draw = ImageDraw.Draw(made)
        y = HEIGHT - 34 - len(lines) * said.height
        for line in lines:
            said.write(draw, (WIDTH / 2 + 2, y + 2), line, (0, 0, 0), anchor="m")
            said.write(draw, (WIDTH / 2, y), line, (255, 255, 255), anchor="m")
            y += said.height
    if note:
        small = Type(20, "bold")
        draw = ImageDraw.Draw(made)
        wide = small.width(note) + 22
        draw.rounded_rectangle([22, 20, 22 + wide, 54], radius=8, fill=(20, 22, 26))
        small.write(draw, (33, 25), note, (240, 240, 236))
    return made
