"""Where a shot plays: the sky, the land or the walls, and what stands there."""

from __future__ import annotations

import math
from collections.abc import Callable

from plugins.media import interiors, landmarks
from plugins.media.canvas import HEIGHT, WIDTH, Canvas, Colour, Palette, mix, palette
from plugins.media.shots import Seen

HORIZONS = {"low": 560.0, "eye": 430.0, "high": 250.0, "dutch": 450.0}


def colours(seen: Seen) -> Palette:
    """Return the palette of a shot."""
    if seen.weather == "red":
        return palette("red")
    if seen.place == "lab":
        return palette("lab")
    if seen.inside:
        return palette("room night" if seen.light == "night" or seen.weather in {"storm", "rain"} else "room")
    return palette("night" if seen.light == "night" and seen.weather in {"", "fog"} else seen.weather or seen.light)


def draw(canvas: Canvas, seen: Seen, look: Palette) -> float:
    """Draw the place; return the height at which feet stand."""
    if seen.inside and seen.place != "space":
        return interiors.draw(canvas, seen, look)
    horizon = HORIZONS[seen.angle]
    _sky(canvas, seen, look, horizon)
    _OUTSIDE.get(seen.place, _field)(canvas, seen, look, horizon)
    landmarks.draw(canvas, seen, look, horizon)
    return horizon + (HEIGHT - horizon) * 0.62


def weather(canvas: Canvas, seen: Seen, look: Palette) -> None:
    """Lay rain, snow or fog over the whole picture."""
    if seen.weather in {"rain", "storm"} and not seen.inside:
        for _ in range(260):
            x, y = canvas.chance.uniform(-40, WIDTH + 80), canvas.chance.uniform(-40, HEIGHT)
            length = canvas.chance.uniform(18, 46)
            canvas.line([(x, y), (x - length * 0.28, y + length)], mix(look.horizon, look.glow, 0.35), 1.1)
    if seen.weather == "snow" and not seen.inside:
        for _ in range(240):
            size = canvas.chance.choice((1.5, 2, 2.5, 4))
            canvas.disc(canvas.chance.uniform(0, WIDTH), canvas.chance.uniform(0, HEIGHT), size, (250, 252, 255))
    if seen.weather == "fog":
        for height in (300, 400, 500, 610):
            canvas.beam([(0, height), (WIDTH, height - 40), (WIDTH, height + 60), (0, height + 90)], look.horizon, 0.42)


# --- outside ------------------------------------------------------------------------------------------------------
def _sky(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    canvas.gradient(look.sky, look.horizon, 0, horizon + 2)
    if seen.light == "night" or seen.place == "space":
        for _ in range(150):
            x, y = canvas.chance.uniform(0, WIDTH), canvas.chance.uniform(0, horizon * 0.9)
            canvas.disc(x, y, canvas.chance.choice((0.8, 1.0, 1.4, 2.0)), mix(look.sky, (255, 255, 255), 0.75))
    _light_of_the_sky(canvas, seen, look, horizon)
    if seen.light != "night" or seen.weather == "storm":
        _clouds(canvas, seen, look, horizon)
    if seen.weather == "storm":
        _lightning(canvas, look, horizon)
    if "bird" in seen.things:
        for number in range(7):
            _bird(
                canvas,
                250 + 60 * number + canvas.chance.uniform(-20, 20),
                130 + canvas.chance.uniform(-45, 60),
                look.ink,
            )


def _light_of_the_sky(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    if seen.weather in {"storm", "fog", "rain", "snow"} and "moon" not in seen.things:
        return
    left = canvas.chance.random() < 0.5
    x = canvas.chance.uniform(170, 330) if left else WIDTH - canvas.chance.uniform(170, 330)
    if seen.light == "night":
        canvas.glow(x, 120, 150, look.glow, 0.35)
        canvas.shape(_crescent(x, 120, 42), look.glow)
        return
    low = seen.light in {"dusk", "dawn"}
    y = horizon - 46 if low else 120.0
    canvas.glow(x, y, 330 if low else 170, look.glow, 0.62)
    canvas.disc(x, y, 62 if low else 46, mix(look.glow, (255, 255, 255), 0.45))


def _crescent(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    outer = [(x + radius * math.cos(a / 20), y + radius * math.sin(a / 20)) for a in range(-32, 33)]
    inner = [(x - 16 + radius * 0.86 * math.cos(a / 20), y + radius * math.sin(a / 20)) for a in range(32, -33, -1)]
    return outer + inner


def _clouds(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    heavy = seen.weather in {"storm", "rain"}
    for _ in range(7 if heavy else 4):
        x, y = canvas.chance.uniform(0, WIDTH), canvas.chance.uniform(30, horizon * (0.45 if heavy else 0.6))
        tone = mix(look.sky, look.far if heavy else (255, 255, 255), 0.55 if heavy else 0.38)
        if seen.light in {"dusk", "dawn"}:
            tone = mix(look.horizon, look.sky, 0.35)
        size = canvas.chance.uniform(0.7, 1.5) * (1.5 if heavy else 1)
        for dx, dy, radius in ((-62, 6, 26), (-28, -8, 38), (14, -14, 44), (52, -2, 32), (84, 8, 20)):
            canvas.disc(x + dx * size, y + dy * size, radius * size, tone, 0.62)
        canvas.box(x - 86 * size, y + 2 * size, x + 102 * size, y + 24 * size, tone, 12 * size)


def _lightning(canvas: Canvas, look: Palette, horizon: float) -> None:
    x, y = canvas.chance.uniform(300, 980), 40.0
    way = [(x, y)]
    while y < horizon - 30:
        x, y = x + canvas.chance.uniform(-36, 36), y + canvas.chance.uniform(26, 52)
        way.append((x, min(y, horizon - 10)))
    canvas.glow(way[len(way) // 2][0], way[len(way) // 2][1], 200, look.glow, 0.3)
    canvas.line(way, (250, 252, 255), 4)


def _bird(canvas: Canvas, x: float, y: float, ink: Colour) -> None:
    canvas.line([(x - 15, y - 7), (x - 6, y - 5), (x, y + 1), (x + 6, y - 5), (x + 15, y - 7)], ink, 2.4)


def _ridge(canvas: Canvas, base: float, rise: float, rough: float, fill: Colour) -> None:
    """Draw hills or mountains up to the lower edge."""
    phase = canvas.chance.uniform(0, 6)
    points = [(-20.0, float(HEIGHT))]
    for x in range(-20, WIDTH + 41, 20):
        wave = math.sin(x / 190 + phase) * 0.55 + math.sin(x / 71 + phase * 2) * 0.3
        points.append((x, base - rise * (0.5 + wave * 0.5) - canvas.chance.uniform(0, rough)))
    canvas.shape([*points, (WIDTH + 40, HEIGHT)], fill)


def _peaks(canvas: Canvas, base: float, rise: float, fill: Colour, cap: Colour) -> None:
    x = -120.0
    while x < WIDTH + 100:
        wide, high = canvas.chance.uniform(190, 330), rise * canvas.chance.uniform(0.55, 1)
        top = (x + wide * canvas.chance.uniform(0.42, 0.58), base - high)
        canvas.shape([(x, base), top, (x + wide, base)], fill)
        left, right = _on(top, (x, base), 0.24), _on(top, (x + wide, base), 0.24)
        canvas.shape([left, top, right, (top[0] + 12, right[1] - 6), (top[0] - 9, right[1] + 9)], cap)
        x += wide * canvas.chance.uniform(0.5, 0.75)


def _on(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _sea(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    canvas.gradient(mix(look.horizon, look.middle, 0.55), look.near, horizon, HEIGHT)
    for _ in range(90):
        y = horizon + (HEIGHT - horizon) * canvas.chance.random() ** 1.4
        near = (y - horizon) / (HEIGHT - horizon)
        length, x = 16 + 90 * near * canvas.chance.random(), canvas.chance.uniform(0, WIDTH)
        canvas.line([(x, y), (x + length, y)], mix(look.horizon, look.middle, 0.15 + 0.3 * near), 1.2 + 2 * near)
    shore = horizon + (HEIGHT - horizon) * 0.4 if seen.figures and seen.size in {"ws", "fs", "two"} else HEIGHT - 62.0
    rises = (
        (-90, HEIGHT - shore + 60),
        (-60, -8),
        (270, 16),
        (660, -4),
        (1010, 32),
        (1360, 4),
        (1380, HEIGHT - shore + 60),
    )
    sand = (
        mix(look.near, look.ink, 0.45)
        if shore > HEIGHT - 70
        else mix(mix(look.horizon, look.middle, 0.5), look.ink, 0.2)
    )
    canvas.smooth([(x, shore + y) for x, y in rises], sand)
    if "boat" in seen.things:
        _boat(canvas, canvas.chance.uniform(380, 620), horizon + 14, look)


def _boat(canvas: Canvas, x: float, y: float, look: Palette) -> None:
    canvas.shape([(x - 62, y - 8), (x + 66, y - 8), (x + 42, y + 18), (x - 46, y + 18)], look.ink)
    canvas.line([(x, y - 8), (x, y - 96)], look.ink, 3)
    canvas.shape([(x + 5, y - 94), (x + 5, y - 16), (x + 54, y - 16)], mix(look.glow, look.horizon, 0.3))
    canvas.shape([(x - 5, y - 80), (x - 5, y - 16), (x - 38, y - 16)], mix(look.glow, look.far, 0.35))


def _mountain(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    del seen
    snow = mix(look.horizon, (255, 255, 255), 0.55)
    _peaks(canvas, horizon + 40, 300, look.far, snow)
    _peaks(canvas, horizon + 70, 190, look.middle, mix(look.middle, snow, 0.4))
    canvas.gradient(mix(look.middle, look.near, 0.4), look.near, horizon + 60, HEIGHT)
    _ridge(canvas, horizon + 150, 50, 4, look.near)
    _firs(canvas, horizon + 130, 9, look.ink)


def _firs(canvas: Canvas, base: float, count: int, fill: Colour) -> None:
    for number in range(count):
        x = (number + canvas.chance.random()) * WIDTH / count
        _fir(canvas, x, base + canvas.chance.uniform(0, 50), canvas.chance.uniform(60, 120), fill)


def _fir(canvas: Canvas, x: float, base: float, height: float, fill: Colour) -> None:
    for level in range(3):
        top, wide = base - height * (0.42 + 0.29 * level), height * (0.34 - 0.075 * level)
        canvas.shape([(x - wide, top + height * 0.36), (x, top - height * 0.08), (x + wide, top + height * 0.36)], fill)
    canvas.box(x - 4, base - height * 0.1, x + 4, base + 6, fill)


def _forest(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    canvas.gradient(look.horizon, mix(look.horizon, look.far, 0.5), horizon * 0.5, HEIGHT)
    for depth, (tone, count, size) in enumerate(
        ((look.far, 16, 200.0), (look.middle, 11, 320.0), (look.near, 6, 470.0))
    ):
        base = horizon + 50 + depth * 60
        for number in range(count):
            x = (number + canvas.chance.random()) * WIDTH / count
            _fir(canvas, x, base + canvas.chance.uniform(-12, 20), size * canvas.chance.uniform(0.75, 1.15), tone)
        canvas.shape([(0, base - 6), (WIDTH, base - 6), (WIDTH, HEIGHT), (0, HEIGHT)], mix(tone, look.near, 0.3))
    canvas.gradient(look.near, mix(look.near, look.ink, 0.5), horizon + 165, HEIGHT)
    if seen.light in {"day", "dawn", "dusk"}:
        for x in (320, 560, 820):
            canvas.beam([(x, 0), (x + 70, 0), (x - 120, HEIGHT), (x - 300, HEIGHT)], look.glow, 0.16)


def _city(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    dark = seen.light in {"night", "dusk"} or seen.weather in {"rain", "storm"}
    for tone, low, high, windows in (
        (look.far, 120, 250, False),
        (look.middle, 90, 330, True),
        (look.near, 50, 240, True),
    ):
        x = -30.0
        while x < WIDTH:
            wide, top = canvas.chance.uniform(58, 128), horizon + 40 - canvas.chance.uniform(low, high)
            canvas.box(x, top, x + wide, HEIGHT, tone)
            if windows:
                _windows(canvas, (x, top, wide), mix(tone, look.glow, 0.8 if dark else 0.25), dark=dark)
            x += wide + canvas.chance.uniform(0, 26)
    street = horizon + 90
    canvas.gradient(mix(look.near, look.ink, 0.35), mix(look.near, look.ink, 0.75), street, HEIGHT)
    canvas.shape(
        [(WIDTH / 2 - 8, street), (WIDTH / 2 + 8, street), (WIDTH / 2 + 70, HEIGHT), (WIDTH / 2 - 70, HEIGHT)],
        mix(look.near, look.glow, 0.18),
    )
    if dark:
        for x in (180, 1090):
            canvas.line([(x, street + 120), (x, street - 90), (x + (40 if x < 600 else -40), street - 98)], look.ink, 6)
            canvas.glow(x + (40 if x < 600 else -40), street - 90, 90, look.glow, 0.6)


def _windows(canvas: Canvas, house: tuple[float, float, float], light: Colour, *, dark: bool) -> None:
    x, top, wide = house
    for row in range(14):
        for column in range(int(wide // 22)):
            if canvas.chance.random() < (0.42 if dark else 0.7):
                left, upper = x + 9 + column * 22, top + 14 + row * 26
                canvas.box(left, upper, left + 10, upper + 14, light)


def _field(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    _ridge(canvas, horizon + 30, 90, 3, look.far)
    _ridge(canvas, horizon + 60, 60, 3, look.middle)
    canvas.gradient(mix(look.middle, look.near, 0.5), mix(look.near, look.ink, 0.25), horizon + 58, HEIGHT)
    for _ in range(220):
        y = horizon + 80 + (HEIGHT - horizon - 80) * canvas.chance.random()
        x, high = canvas.chance.uniform(0, WIDTH), 5 + 16 * (y - horizon) / (HEIGHT - horizon)
        canvas.line([(x, y), (x + canvas.chance.uniform(-5, 5), y - high)], mix(look.near, look.glow, 0.22), 1.5)
    if "tree" in seen.things or seen.place == "field":
        _tree(canvas, canvas.chance.choice((230.0, 1050.0)), horizon + 110, look)


def _tree(canvas: Canvas, x: float, base: float, look: Palette) -> None:
    canvas.shape([(x - 14, base), (x - 7, base - 150), (x + 8, base - 150), (x + 17, base)], look.ink)
    for dx, dy, radius in ((-50, -170, 52), (0, -220, 66), (54, -178, 50), (4, -160, 58)):
        canvas.disc(x + dx, base + dy, radius, mix(look.near, look.ink, 0.45))


def _desert(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    sand = mix(look.horizon, (214, 160, 100), 0.6 if seen.light != "night" else 0.2)
    for number, rise in enumerate((70, 90, 60)):
        _ridge(canvas, horizon + 30 + number * 85, rise, 0, mix(sand, look.ink, 0.12 + 0.16 * number))


def _road(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    _ridge(canvas, horizon + 26, 80, 4, look.far)
    canvas.gradient(look.middle, look.near, horizon + 10, HEIGHT)
    grey = mix(look.ink, look.far, 0.32)
    canvas.shape(
        [
            (WIDTH / 2 - 16, horizon + 8),
            (WIDTH / 2 + 16, horizon + 8),
            (WIDTH / 2 + 420, HEIGHT),
            (WIDTH / 2 - 420, HEIGHT),
        ],
        grey,
    )
    y, size = horizon + 26, 5.0
    while y < HEIGHT:
        half = size * 0.32
        canvas.shape(
            [
                (WIDTH / 2 - half, y),
                (WIDTH / 2 + half, y),
                (WIDTH / 2 + half * 1.5, y + size * 2),
                (WIDTH / 2 - half * 1.5, y + size * 2),
            ],
            look.glow,
        )
        y, size = y + size * 4, size * 1.45
    if "car" in seen.things:
        _car(canvas, WIDTH / 2 + 150, horizon + 160, look)


def _car(canvas: Canvas, x: float, y: float, look: Palette) -> None:
    canvas.box(x - 95, y - 36, x + 95, y + 12, mix(look.ink, (170, 50, 40), 0.6), 16)
    canvas.shape(
        [(x - 58, y - 34), (x - 34, y - 72), (x + 36, y - 72), (x + 64, y - 34)], mix(look.ink, look.horizon, 0.45)
    )
    for wheel in (-56, 56):
        canvas.disc(x + wheel, y + 12, 21, look.ink)
        canvas.disc(x + wheel, y + 12, 8, look.far)
    canvas.glow(x + 98, y - 14, 46, look.glow, 0.55)


def _space(canvas: Canvas, seen: Seen, look: Palette, horizon: float) -> None:
    del seen
    night = palette("night")
    canvas.gradient((4, 6, 18), (16, 20, 52), 0, HEIGHT)
    for _ in range(260):
        size = canvas.chance.choice((0.8, 1.0, 1.5, 2.2))
        canvas.disc(canvas.chance.uniform(0, WIDTH), canvas.chance.uniform(0, HEIGHT), size, (226, 232, 255))
    x = canvas.chance.uniform(820, 1000)
    canvas.glow(x, 250, 260, night.horizon, 0.6)
    canvas.disc(x, 250, 165, mix(look.horizon, (70, 110, 170), 0.6))
    canvas.disc(x - 46, 226, 138, mix(look.horizon, (120, 165, 210), 0.6))
    canvas.smooth(
        [
            (-80, HEIGHT + 90),
            (-60, horizon + 170),
            (320, horizon + 120),
            (800, horizon + 140),
            (1340, horizon + 180),
            (1380, HEIGHT + 90),
        ],
        (42, 46, 66),
    )


_OUTSIDE: dict[str, Callable[[Canvas, Seen, Palette, float], None]] = {
    "sea": _sea,
    "city": _city,
    "forest": _forest,
    "mountain": _mountain,
    "desert": _desert,
    "road": _road,
    "space": _space,
    "field": _field,
}
