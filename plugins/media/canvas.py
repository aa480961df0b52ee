"""A picture that is drawn in units of 1280 × 720 at twice the size and then made smaller, so that edges are smooth."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT = 1280, 720
SHARP = 2
Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a picture, from the sky to what stands in front; `glow` is its light."""

    sky: Colour
    horizon: Colour
    far: Colour
    middle: Colour
    near: Colour
    ink: Colour
    glow: Colour


_PALETTES = {
    "day": ("#5fa8d3", "#d9eef7", "#9bbfcf", "#6d9a8b", "#4c7a63", "#22313f", "#fff3c9"),
    "dawn": ("#6b7fb3", "#fbd3b0", "#b79aa8", "#7e7f93", "#51597a", "#262b45", "#ffe3b8"),
    "dusk": ("#3d3a6b", "#f58f5c", "#a15a6b", "#643f63", "#3a2b4d", "#1c1730", "#ffc873"),
    "night": ("#0b1330", "#2b4a73", "#22385c", "#182a48", "#101d36", "#070d1c", "#f3e7b3"),
    "storm": ("#2a3440", "#6d7f8a", "#4d5c66", "#38454e", "#263038", "#12181d", "#dfe9ee"),
    "fog": ("#aeb9bf", "#dfe5e6", "#c2cbce", "#a2adb2", "#7f8c92", "#3c474d", "#ffffff"),
    "snow": ("#9fb6c9", "#eef4f8", "#cfdce6", "#dfe9f0", "#f4f8fb", "#2f3d4c", "#ffffff"),
    "rain": ("#3f5060", "#8fa1ab", "#6a7c87", "#4d5e69", "#394851", "#1a242b", "#e6eef2"),
    "red": ("#2a0d14", "#c2402c", "#7c2427", "#51181f", "#331017", "#16070b", "#ffb35c"),
    "room": ("#d9c3a5", "#efe0c8", "#c6a985", "#9c7a5b", "#6f5340", "#2b211c", "#fff1cf"),
    "room night": ("#26304a", "#3a4566", "#2c3652", "#212942", "#171d31", "#0a0e1a", "#ffd991"),
    "lab": ("#2c3e4c", "#4a6675", "#3a5361", "#2b3f4b", "#1f2e38", "#0e171d", "#9ff0e2"),
}


def _rgb(text: str) -> Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def palette(name: str) -> Palette:
    """Return the colours of a mood: a time of day, a weather, `room`, `room night` or `lab`."""
    return Palette(*map(_rgb, _PALETTES.get(name, _PALETTES["day"])))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return a colour between two; `share` is that of the second."""
    return (
        round(first[0] + (second[0] - first[0]) * share),
        round(first[1] + (second[1] - first[1]) * share),
        round(first[2] + (second[2] - first[2]) * share),
    )


class Canvas:
    """Draws filled shapes in units of 1280 × 720. `chance` is the picture's own dice, so that it is always the same."""

    def __init__(self, seed: int, ground: Colour) -> None:
        from PIL import Image, ImageDraw

        self.chance = random.Random(seed)  # noqa: S311  # it draws clouds
        self.image = Image.new("RGB", (WIDTH * SHARP, HEIGHT * SHARP), ground)
        self._draw = ImageDraw.Draw(self.image)

    def gradient(self, top: Colour, bottom: Colour, start: float = 0, end: float = HEIGHT) -> None:
        """Fill a band over the whole width."""
        rows = round((end - start) * SHARP)
        for row in range(rows):
            y = start * SHARP + row
            self._draw.line([(0, y), (WIDTH * SHARP, y)], fill=mix(top, bottom, row / max(1, rows - 1)))

    def shape(self, points: Iterable[Point], fill: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * SHARP, y * SHARP) for x, y in points], fill=fill)

    def smooth(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a closed curve through the points (Catmull and Rom's spline)."""
        self.shape(_spline(points), fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour, radius: float = 0) -> None:  # noqa: PLR0917  # edges in the order of Pillow's
        """Fill a rectangle, with round corners if wanted."""
        place = [left * SHARP, top * SHARP, right * SHARP, bottom * SHARP]
        self._draw.rounded_rectangle(place, radius=radius * SHARP, fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour, tall: float = 1.0) -> None:
        """Fill a circle, or an ellipse that is `tall` times as high as it is wide."""
        place = [(x - radius) * SHARP, (y - radius * tall) * SHARP, (x + radius) * SHARP, (y + radius * tall) * SHARP]
        self._draw.ellipse(place, fill=fill)

    def line(self, points: Iterable[Point], fill: Colour, width: float) -> None:
        """Draw a line with round joints."""
        placed = [(x * SHARP, y * SHARP) for x, y in points]
        self._draw.line(placed, fill=fill, width=max(1, round(width * SHARP)), joint="curve")

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Lay light around a point; `strength` from 0 to 1."""
        from PIL import Image, ImageDraw, ImageFilter

        small = Image.new("L", (WIDTH // 4, HEIGHT // 4), 0)

        place = [(x - radius) / 4, (y - radius) / 4, (x + radius) / 4, (y + radius) / 4]
        ImageDraw.Draw(small).ellipse(place, fill=round(255 * strength))
        soft = small.filter(ImageFilter.GaussianBlur(radius / 8))
        self.cover(colour, soft)

    def veil(self, colour: Colour, strength: float) -> None:
        """Lay a colour over everything."""
        from PIL import Image

        self.cover(colour, Image.new("L", (2, 2), round(255 * strength)))

    def beam(self, points: Sequence[Point], colour: Colour, strength: float) -> None:
        """Lay a soft shape of light over the picture."""
        from PIL import Image, ImageDraw, ImageFilter

        small = Image.new("L", (WIDTH // 2, HEIGHT // 2), 0)
        ImageDraw.Draw(small).polygon([(x / 2, y / 2) for x, y in points], fill=round(255 * strength))
        self.cover(colour, small.filter(ImageFilter.GaussianBlur(3)))

    def cover(self, colour: Colour, mask: Image) -> None:
        """Lay a colour over the picture where the mask is bright."""
        from PIL import Image

        whole = mask.resize(self.image.size, Image.Resampling.BILINEAR)
        self.image.paste(Image.new("RGB", self.image.size, colour), (0, 0), whole)

    def done(self, turn: float = 0.0) -> Image:
        """Return the picture in 1280 × 720, turned by some degrees, with the edges a little darker and a fine grain."""
        from PIL import Image, ImageChops, ImageFilter

        picture = self.image
        if turn:
            picture = _turned(picture, turn)
        small = picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        edge = Image.new("L", (64, 36), 0)
        edge.paste(255, (5, 3, 59, 33))
        edge = edge.filter(ImageFilter.GaussianBlur(8)).resize(small.size, Image.Resampling.BICUBIC)
        dark = Image.blend(small, Image.new("RGB", small.size, (0, 0, 0)), 0.32)
        shaded = Image.composite(small, dark, edge)
        noise = self.chance.randbytes(160 * 90)
        grain = Image.frombytes("L", (160, 90), bytes(122 + byte % 13 for byte in noise))
        tiled = Image.new("L", small.size)
        for x in range(0, WIDTH, 160):
            for y in range(0, HEIGHT, 90):
                tiled.paste(grain, (x, y))
        return ImageChops.overlay(shaded, Image.merge("RGB", (tiled, tiled, tiled)))


def _turned(picture: Image, degrees: float) -> Image:
    """Turn the picture and enlarge it, so that no corner is empty."""
    from PIL import Image

    width, height = picture.size
    angle = math.radians(abs(degrees))
    scale = math.cos(angle) + math.sin(angle) * width / height
    large = picture.rotate(degrees, Image.Resampling.BICUBIC)
    cut_x, cut_y = width * (1 - 1 / scale) / 2, height * (1 - 1 / scale) / 2
    part = (round(cut_x), round(cut_y), round(width - cut_x), round(height - cut_y))
    return large.resize((width, height), Image.Resampling.BICUBIC, box=part)


def _spline(points: Sequence[Point], parts: int = 10) -> list[Point]:
    made = []
    count = len(points)
    for index in range(count):
        a, b, c, d = (points[(index + offset) % count] for offset in (-1, 0, 1, 2))
        for part in range(parts):
            t = part / parts
            made.append((_between(a[0], b[0], c[0], d[0], t), _between(a[1], b[1], c[1], d[1], t)))
    return made


def _between(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)
