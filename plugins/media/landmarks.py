"""What stands in a landscape: a lighthouse, a house, a rocket, a fire."""

from __future__ import annotations

from plugins.media.canvas import WIDTH, Canvas, Palette, mix
from plugins.media.shots import Seen


def draw(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    """Draw whatever of these the shot names."""
    if "lighthouse" in seen.things:
        _lighthouse(canvas, 960, horizon + 52, look, dark=seen.light in {"night", "dusk"} or seen.weather != "")
    if "house" in seen.things and seen.place != "city":
        _house(canvas, 300, horizon + 96, look, dark=seen.light in {"night", "dusk"})
    if "rocket" in seen.things:
        _rocket(canvas, 930, horizon + 130, look)
    if "fire" in seen.things:
        _fire(canvas, 660, horizon + 190)


def _lighthouse(canvas: Canvas, x: float, base: float, look: Palette, *, dark: bool) -> None:
    rock = mix(look.near, look.ink, 0.55)
    canvas.smooth(
        [
            (x - 260, base + 90),
            (x - 150, base + 8),
            (x - 40, base - 16),
            (x + 90, base - 6),
            (x + 220, base + 30),
            (x + 420, base + 100),
        ],
        rock,
    )
    white = mix(look.glow, look.horizon, 0.35 if not dark else 0.7)
    canvas.shape([(x - 40, base), (x - 25, base - 250), (x + 25, base - 250), (x + 40, base)], white)
    for band in (0.2, 0.56):
        low, high = base - 250 * band, base - 250 * (band + 0.17)
        wide, thin = 40 - 15 * band, 40 - 15 * (band + 0.17)
        canvas.shape(
            [(x - wide, low), (x - thin, high), (x + thin, high), (x + wide, low)],
            mix((178, 54, 48), look.ink, 0.35 if dark else 0.08),
        )
    canvas.box(x - 34, base - 262, x + 34, base - 250, look.ink, 3)
    canvas.box(x - 19, base - 300, x + 19, base - 262, look.glow if dark else mix(look.ink, look.horizon, 0.5))
    canvas.shape([(x - 26, base - 300), (x, base - 330), (x + 26, base - 300)], look.ink)
    if dark:
        canvas.beam([(x - 12, base - 288), (x - 12, base - 274), (-80, base - 160), (-80, base - 330)], look.glow, 0.42)
        canvas.beam(
            [(x + 12, base - 288), (x + 12, base - 274), (WIDTH + 60, base - 240), (WIDTH + 60, base - 330)],
            look.glow,
            0.3,
        )
        canvas.glow(x, base - 281, 60, look.glow, 0.8)


def _house(canvas: Canvas, x: float, base: float, look: Palette, *, dark: bool) -> None:
    canvas.box(x - 95, base - 110, x + 95, base, mix(look.near, look.ink, 0.55))
    canvas.shape([(x - 118, base - 108), (x, base - 188), (x + 118, base - 108)], look.ink)
    canvas.box(x + 48, base - 178, x + 68, base - 130, look.ink)
    light = look.glow if dark else mix(look.horizon, look.ink, 0.35)
    for left in (-66, 28):
        canvas.box(x + left, base - 82, x + left + 38, base - 44, light)
    canvas.box(x - 16, base - 62, x + 14, base, look.ink, 3)


def _rocket(canvas: Canvas, x: float, base: float, look: Palette) -> None:
    canvas.smooth(
        [(x - 34, base), (x - 38, base - 140), (x, base - 270), (x + 38, base - 140), (x + 34, base)],
        mix(look.glow, look.far, 0.35),
    )
    canvas.shape([(x - 34, base - 60), (x - 76, base + 12), (x - 30, base)], (178, 54, 48))
    canvas.shape([(x + 34, base - 60), (x + 76, base + 12), (x + 30, base)], (178, 54, 48))
    canvas.disc(x, base - 160, 17, look.ink)


def _fire(canvas: Canvas, x: float, base: float) -> None:
    canvas.glow(x, base - 40, 200, (255, 150, 60), 0.5)
    for size, tone in ((1.0, (226, 84, 36)), (0.68, (247, 150, 50)), (0.38, (255, 226, 130))):
        canvas.smooth(
            [
                (x - 44 * size, base),
                (x - 34 * size, base - 56 * size),
                (x - 8, base - 128 * size),
                (x + 20 * size, base - 74 * size),
                (x + 42 * size, base - 30 * size),
                (x + 40 * size, base),
            ],
            tone,
        )
