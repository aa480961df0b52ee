"""Where a shot plays inside: a room, a corridor, a control room."""

from __future__ import annotations

from plugins.media.canvas import HEIGHT, WIDTH, Canvas, Palette, mix, palette
from plugins.media.shots import Seen


def draw(canvas: Canvas, seen: Seen, look: Palette) -> float:
    """Draw the walls and what is in the room; return the height at which feet stand."""
    inside = {"corridor": _corridor, "lab": _lab}.get(seen.place, _room)
    return inside(canvas, seen, look)


def _room(canvas: Canvas, seen: Seen, look: Palette) -> float:
    floor = {"low": 610.0, "high": 430.0}.get(seen.angle, 535.0)
    dark = seen.light == "night" or seen.weather in {"storm", "rain"}
    canvas.gradient(mix(look.sky, look.far, 0.25), look.horizon, 0, floor)
    canvas.gradient(look.middle, look.near, floor, HEIGHT)
    canvas.box(0, floor - 14, WIDTH, floor, mix(look.middle, look.ink, 0.25))
    _window(canvas, seen, look, (820.0, 110.0, 1110.0, floor - 150))
    _door(canvas, look, 130 if "door" in seen.things else -400, floor)
    _shelf(canvas, look, 330, 170)
    canvas.box(350, floor - 78, 720, floor - 60, mix(look.near, look.ink, 0.25), 4)
    for leg in (374, 690):
        canvas.box(leg, floor - 62, leg + 14, floor + 46, mix(look.near, look.ink, 0.35))
    _lamp(canvas, look, 600, floor - 78, dark=dark)
    return floor + 92


def _window(canvas: Canvas, seen: Seen, look: Palette, place: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = place
    outside = palette(
        "night" if seen.light == "night" else seen.weather if seen.weather != "red" and seen.weather else seen.light
    )
    canvas.box(left - 14, top - 14, right + 14, bottom + 14, mix(look.near, look.ink, 0.2), 4)
    steps = 40
    for step in range(steps):
        y = top + (bottom - top) * step / steps
        canvas.box(left, y, right, y + (bottom - top) / steps + 1, mix(outside.sky, outside.horizon, step / steps))
    if seen.light == "night":
        canvas.disc(right - 70, top + 60, 24, outside.glow)
    if seen.weather in {"rain", "storm"}:
        for _ in range(46):
            x, y = canvas.chance.uniform(left + 6, right - 4), canvas.chance.uniform(top, bottom - 30)
            canvas.line([(x, y), (x - 6, y + 26)], mix(outside.horizon, (255, 255, 255), 0.4), 1.4)
    canvas.box((left + right) / 2 - 5, top, (left + right) / 2 + 5, bottom, mix(look.near, look.ink, 0.2))
    canvas.box(left, (top + bottom) / 2 - 5, right, (top + bottom) / 2 + 5, mix(look.near, look.ink, 0.2))
    if seen.light != "night" and not seen.weather:
        canvas.beam([(left, top), (right, top), (right - 260, HEIGHT), (left - 460, HEIGHT)], look.glow, 0.22)


def _door(canvas: Canvas, look: Palette, x: float, floor: float) -> None:
    if x < 0:
        return
    canvas.box(x - 10, floor - 350, x + 160, floor, mix(look.near, look.ink, 0.3), 3)
    canvas.box(x, floor - 340, x + 150, floor, look.near)
    canvas.disc(x + 130, floor - 165, 7, look.glow)


def _shelf(canvas: Canvas, look: Palette, x: float, y: float) -> None:
    canvas.box(x, y + 82, x + 250, y + 92, mix(look.near, look.ink, 0.3))
    left = x + 10
    while left < x + 215:
        wide, high = canvas.chance.uniform(10, 24), canvas.chance.uniform(44, 76)
        tone = canvas.chance.choice(
            (look.far, look.middle, mix(look.middle, (150, 60, 50), 0.5), mix(look.near, (50, 90, 120), 0.5))
        )
        canvas.box(left, y + 82 - high, left + wide, y + 82, tone)
        left += wide + canvas.chance.choice((2, 3, 14))


def _lamp(canvas: Canvas, look: Palette, x: float, base: float, *, dark: bool) -> None:
    canvas.box(x - 22, base - 7, x + 22, base, look.ink, 3)
    canvas.line([(x, base - 6), (x, base - 66)], look.ink, 5)
    canvas.shape(
        [(x - 40, base - 62), (x - 22, base - 112), (x + 22, base - 112), (x + 40, base - 62)],
        mix(look.glow, (255, 255, 255), 0.2) if dark else mix(look.glow, look.middle, 0.3),
    )
    if dark:
        canvas.glow(x, base - 66, 260, look.glow, 0.42)


def _corridor(canvas: Canvas, seen: Seen, look: Palette) -> float:
    del seen
    middle = (WIDTH / 2, 330.0)
    canvas.gradient(look.far, look.middle, 0, HEIGHT)
    shares = [0.0, 0.34, 0.56, 0.71, 0.81, 0.87]
    for number, share in enumerate(shares):
        left, top = middle[0] * share, middle[1] * share
        right, bottom = WIDTH - (WIDTH - middle[0]) * share, HEIGHT - (HEIGHT - middle[1]) * share
        canvas.box(left, top, right, bottom, mix(look.near, look.horizon, number / len(shares)))
        canvas.shape([(left, bottom), (right, bottom), middle], mix(look.near, look.ink, 0.45 - 0.06 * number))
        wide = (right - left) * 0.09
        canvas.box((left + right) / 2 - wide, top + 4, (left + right) / 2 + wide, top + 4 + 12 * (1 - share), look.glow)
    canvas.glow(middle[0], middle[1], 130, look.glow, 0.75)
    return 610.0


def _lab(canvas: Canvas, seen: Seen, look: Palette) -> float:
    floor = 560.0
    canvas.gradient(look.sky, look.horizon, 0, floor)
    canvas.gradient(look.near, look.ink, floor, HEIGHT)
    for number in range(4):
        left, top = 90 + number * 290, 110 + 30 * (number % 2)
        canvas.box(left, top, left + 230, top + 150, look.ink, 8)
        canvas.box(left + 8, top + 8, left + 222, top + 142, mix(look.ink, look.glow, 0.22), 5)
        points = [(left + 20 + 10 * step, top + 76 + canvas.chance.uniform(-40, 40)) for step in range(19)]
        canvas.line(points, look.glow, 2.6)
    canvas.glow(WIDTH / 2, 190, 360, look.glow, 0.22)
    canvas.shape(
        [(60, floor), (120, floor - 86), (WIDTH - 120, floor - 86), (WIDTH - 60, floor)], mix(look.near, look.ink, 0.5)
    )
    for x in range(180, WIDTH - 160, 46):
        tone = canvas.chance.choice((look.glow, (240, 190, 80), (210, 80, 70), look.far))
        canvas.disc(x, floor - 42, 6, tone)
    del seen
    return floor + 84
