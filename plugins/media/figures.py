"""Who stands in a shot, and how near: small in a wide shot, from the waist, a face, a shoulder in front, a thing."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from plugins.media.canvas import HEIGHT, WIDTH, Canvas, Colour, Palette, mix
from plugins.media.inserts import THINGS
from plugins.media.shots import Seen

_COATS = ((188, 74, 58), (62, 99, 140), (214, 162, 74), (86, 122, 92), (126, 86, 132), (58, 64, 78), (178, 128, 104))
_SKINS = ((240, 205, 178), (222, 178, 144), (186, 134, 98), (140, 94, 66), (246, 218, 196))
_HAIRS = ((58, 42, 34), (30, 28, 32), (146, 96, 52), (206, 200, 194), (188, 150, 92), (112, 52, 38))
_CUTS = ("short", "long", "bun", "cap", "bob")
# How tall a standing person is (units of the picture's height), by the size of the shot, and where the feet are.
_TALL = {"ews": 74.0, "ws": 210.0, "fs": 500.0, "two": 760.0, "ms": 880.0, "mcu": 1160.0}


@dataclass(frozen=True, slots=True)
class Person:
    """How somebody looks; the same name looks the same in each shot."""

    coat: Colour
    skin: Colour
    hair: Colour
    cut: str
    turned: int
    robot: bool = False

    @classmethod
    def named(cls, name: str, look: Palette, *, turned: int, robot: bool = False) -> Person:
        """Return the looks of a name, in the light of the picture."""
        dice = zlib.crc32(name.casefold().encode())
        tint = 0.34 if sum(look.sky) < 260 else 0.12
        return cls(
            coat=mix(_COATS[dice % 997 % 7], look.near, tint),
            skin=mix(_SKINS[dice // 997 % 5], look.middle, tint * 0.8),
            hair=mix(_HAIRS[dice // 5003 % 6], look.near, tint),
            cut=_CUTS[dice // 40009 % 5],
            turned=turned,
            robot=robot,
        )


def draw(canvas: Canvas, seen: Seen, look: Palette, ground: float) -> None:
    """Draw everybody in the shot, and the thing that an insert shows."""
    if seen.size == "insert" or (seen.figures == 0 and seen.hand):
        _insert(canvas, seen, look)
    elif seen.size in {"cu", "ecu"}:
        _face(canvas, _people(seen, look)[0], look, near=seen.size == "ecu")
    elif seen.size == "ots":
        _over_a_shoulder(canvas, seen, look)
    else:
        _standing(canvas, seen, look, ground)


def _people(seen: Seen, look: Palette) -> list[Person]:
    robot = "robot" in seen.things
    named = [*seen.names, *(f"{seen.place} {number}" for number in range(8))][: max(1, seen.figures)]
    return [
        Person.named(name, look, turned=1 if number % 2 == 0 else -1, robot=robot and number == 0)
        for number, name in enumerate(named)
    ]


def _standing(canvas: Canvas, seen: Seen, look: Palette, ground: float) -> None:
    count = seen.figures
    if not count:
        return
    tall = _TALL.get(seen.size, 820.0)
    head = {"ews": ground - 74, "ws": ground - 200, "fs": 150.0, "two": 175.0, "ms": 150.0, "mcu": 120.0}[seen.size]
    step = min(tall * 0.62, 900 / count)
    middle = WIDTH / 2 if count > 1 else WIDTH * (0.4 if seen.seed % 2 else 0.58)
    if seen.size in {"ews", "ws"} and count == 1:
        middle = WIDTH * (0.33 if seen.seed % 2 else 0.62)
    for number, person in enumerate(_people(seen, look)):
        x = middle + (number - (count - 1) / 2) * step
        lower = (number % 2) * tall * 0.03
        _figure(canvas, person, look, (x, head + lower), tall * (0.97 if number % 2 else 1))


def _figure(canvas: Canvas, person: Person, look: Palette, top: tuple[float, float], tall: float) -> None:
    """Draw a whole person; what is below the picture's edge is simply not seen."""
    x, y = top
    head = tall * 0.072
    chest, hips, feet = y + head * 2.35, y + tall * 0.5, y + tall
    wide = tall * 0.125
    dark = mix(person.coat, look.ink, 0.32)
    if feet < HEIGHT + 30:
        shadow = mix(look.near, look.ink, 0.55)
        canvas.disc(x + wide * 0.2, feet - tall * 0.005, wide * 1.5, shadow, 0.16)
    for side in (-1, 1):
        hip, foot = x + side * wide * 0.38, x + side * wide * 0.5
        trousers = mix(look.ink, person.coat, 0.12)
        canvas.shape(
            [
                (hip - wide * 0.36, hips),
                (hip + wide * 0.36, hips),
                (foot + wide * 0.22, feet),
                (foot - wide * 0.22, feet),
            ],
            trousers,
        )
        canvas.disc(foot + person.turned * wide * 0.14, feet, wide * 0.34, mix(look.ink, (0, 0, 0), 0.2), 0.42)
    back, hand = person.turned, mix(person.skin, look.ink, 0.08)
    _arm(canvas, (x - back * wide * 0.95, chest), tall, dark, hand, back)
    canvas.smooth(
        [
            (x - wide * 0.35, y + head * 1.9),
            (x + wide * 0.35, y + head * 1.9),
            (x + wide * 1.02, chest),
            (x + wide * 0.92, hips),
            (x + wide * 0.7, hips + tall * 0.06),
            (x - wide * 0.7, hips + tall * 0.06),
            (x - wide * 0.92, hips),
            (x - wide * 1.02, chest),
        ],
        person.coat,
    )
    canvas.line(
        [(x + back * wide * 0.08, chest), (x + back * wide * 0.08, hips + tall * 0.05)], dark, max(1.0, tall * 0.006)
    )
    _arm(canvas, (x + back * wide * 0.98, chest), tall, mix(person.coat, look.glow, 0.08), hand, back)
    canvas.box(
        x - head * 0.32, y + head * 0.9, x + head * 0.32, y + head * 2.2, mix(person.skin, look.ink, 0.18), head * 0.2
    )
    _head(canvas, person, look, (x, y + head), head)


def _arm(  # noqa: PLR0917  # a place, a size and two colours
    canvas: Canvas, at: tuple[float, float], tall: float, tone: Colour, hand: Colour, swing: float
) -> None:
    (x, chest), wide = at, tall * 0.036
    low, swing = chest + tall * 0.31, swing * tall * 0.03
    canvas.smooth([(x - wide, chest), (x + wide, chest), (x + wide + swing, low), (x - wide + swing, low)], tone)
    canvas.disc(x + swing, low + wide * 0.7, wide * 0.86, hand)


def _head(canvas: Canvas, person: Person, look: Palette, at: tuple[float, float], size: float) -> None:
    x, y = at
    if person.robot:
        _robot_head(canvas, look, at, size)
        return
    if person.cut in {"long", "bob"}:
        low = 1.9 if person.cut == "long" else 1.05
        canvas.smooth(
            [
                (x - size * 0.95, y - size * 0.3),
                (x, y - size * 1.15),
                (x + size * 0.95, y - size * 0.3),
                (x + size * 0.9, y + size * low),
                (x - size * 0.9, y + size * low),
            ],
            person.hair,
        )
    canvas.disc(x, y, size * 0.8, person.skin, 1.2)
    shade = mix(person.skin, look.ink, 0.16)
    side = person.turned
    canvas.smooth(
        [
            (x - side * size * 0.8, y - size * 0.3),
            (x - side * size * 0.2, y - size * 0.5),
            (x - side * size * 0.28, y + size * 0.5),
            (x - side * size * 0.16, y + size * 0.94),
            (x - side * size * 0.6, y + size * 0.66),
        ],
        shade,
    )
    _hair(canvas, person, look, at, size)


def _hair(canvas: Canvas, person: Person, look: Palette, at: tuple[float, float], size: float) -> None:
    x, y, side = at[0], at[1], person.turned
    if person.cut == "cap":
        cap = mix(person.coat, look.ink, 0.35)
        canvas.smooth(
            [
                (x - size * 0.86, y - size * 0.28),
                (x - size * 0.7, y - size * 1.0),
                (x, y - size * 1.3),
                (x + size * 0.7, y - size * 1.0),
                (x + size * 0.86, y - size * 0.28),
            ],
            cap,
        )
        canvas.box(
            x - size * 0.86, y - size * 0.46, x + size * 0.86, y - size * 0.22, mix(cap, look.ink, 0.4), size * 0.1
        )
        canvas.smooth(
            [
                (x + side * size * 0.3, y - size * 0.4),
                (x + side * size * 1.25, y - size * 0.32),
                (x + side * size * 1.2, y - size * 0.16),
                (x + side * size * 0.3, y - size * 0.2),
            ],
            mix(cap, look.ink, 0.4),
        )
        return
    if person.cut == "bun":
        canvas.disc(x - side * size * 0.55, y - size * 1.15, size * 0.42, person.hair)
    fringe = (
        (-0.86, 0.02),
        (-0.84, -0.7),
        (-0.1, -1.24),
        (0.78, -0.78),
        (0.86, 0.02),
        (0.55, -0.52),
        (-0.3, -0.48),
        (-0.72, -0.25),
    )
    canvas.smooth([(x + side * size * dx, y + size * dy) for dx, dy in fringe], person.hair)


def _robot_head(canvas: Canvas, look: Palette, at: tuple[float, float], size: float) -> None:
    x, y = at
    metal = mix(look.horizon, look.ink, 0.35)
    canvas.line([(x, y - size), (x, y - size * 1.7)], look.ink, size * 0.12)
    canvas.disc(x, y - size * 1.75, size * 0.2, look.glow)
    canvas.box(x - size * 0.95, y - size, x + size * 0.95, y + size, metal, size * 0.3)
    for side in (-1, 1):
        canvas.disc(x + side * size * 0.38, y - size * 0.08, size * 0.25, look.ink)
        canvas.disc(x + side * size * 0.38, y - size * 0.08, size * 0.14, look.glow)
    canvas.box(x - size * 0.4, y + size * 0.48, x + size * 0.4, y + size * 0.6, look.ink)


def _face(canvas: Canvas, person: Person, look: Palette, *, near: bool) -> None:
    """Draw a face that fills the picture, with shoulders unless it is very near."""
    canvas.veil(look.near, 0.3)  # what is behind is dimmer
    size, x, y = (470.0, WIDTH / 2, 330.0) if near else (218.0, WIDTH * 0.5, 320.0)
    canvas.glow(x, y, size * 1.7, look.glow, 0.2)
    if not near:
        wide = size * 1.72
        canvas.smooth(
            [
                (x - wide, HEIGHT + 130),
                (x - wide * 0.9, y + size * 1.75),
                (x - size * 0.42, y + size * 1.28),
                (x + size * 0.42, y + size * 1.28),
                (x + wide * 0.9, y + size * 1.75),
                (x + wide, HEIGHT + 130),
            ],
            person.coat,
        )
        canvas.smooth(
            [
                (x - size * 0.36, y + size * 0.6),
                (x + size * 0.36, y + size * 0.6),
                (x + size * 0.42, y + size * 1.36),
                (x, y + size * 1.62),
                (x - size * 0.42, y + size * 1.36),
            ],
            mix(person.skin, look.ink, 0.2),
        )
        collar = mix(person.coat, look.ink, 0.32)
        for side in (-1, 1):
            canvas.shape(
                [
                    (x + side * size * 0.4, y + size * 1.2),
                    (x + side * size * 0.1, y + size * 1.68),
                    (x + side * size * 0.62, y + size * 1.9),
                    (x + side * size * 0.74, y + size * 1.4),
                ],
                collar,
            )
    _head(canvas, person, look, (x, y), size)
    if not person.robot:
        _features(canvas, person, look, (x, y), size)


def _features(canvas: Canvas, person: Person, look: Palette, at: tuple[float, float], size: float) -> None:
    x, y = at[0] + person.turned * size * 0.08, at[1]
    line = mix(person.skin, look.ink, 0.72)
    for side in (-1, 1):
        eye = x + side * size * 0.31
        canvas.smooth(
            [(eye - size * 0.16, y), (eye, y - size * 0.09), (eye + size * 0.16, y), (eye, y + size * 0.075)],
            mix((250, 250, 248), person.skin, 0.25),
        )
        canvas.disc(eye + person.turned * size * 0.03, y - size * 0.005, size * 0.072, line)
        canvas.disc(eye + person.turned * size * 0.05, y - size * 0.03, size * 0.02, (255, 255, 255))
        canvas.line(
            [(eye - size * 0.17, y - size * 0.01), (eye, y - size * 0.095), (eye + size * 0.17, y - size * 0.01)],
            line,
            size * 0.026,
        )
        canvas.line(
            [(eye - size * 0.18, y - size * 0.2), (eye, y - size * 0.25), (eye + size * 0.18, y - size * 0.19)],
            mix(person.hair, look.ink, 0.3),
            size * 0.05,
        )
    nose = mix(person.skin, look.ink, 0.34)
    canvas.line(
        [
            (x + person.turned * size * 0.03, y + size * 0.05),
            (x + person.turned * size * 0.11, y + size * 0.32),
            (x - person.turned * size * 0.02, y + size * 0.35),
        ],
        nose,
        size * 0.026,
    )
    canvas.smooth(
        [
            (x - size * 0.17, y + size * 0.56),
            (x, y + size * 0.53),
            (x + size * 0.17, y + size * 0.55),
            (x, y + size * 0.62),
        ],
        mix(person.skin, (150, 50, 52), 0.55),
    )


def _over_a_shoulder(canvas: Canvas, seen: Seen, look: Palette) -> None:
    people = _people(seen, look)
    _figure(canvas, people[-1], look, (WIDTH * 0.62, 175), 860)
    front = people[0]
    tone, hair = mix(front.coat, look.ink, 0.62), mix(front.hair, look.ink, 0.6)
    canvas.smooth([(-140, HEIGHT + 160), (-120, 520), (120, 450), (330, 470), (500, 600), (560, HEIGHT + 160)], tone)
    canvas.box(160, 340, 290, 520, mix(front.skin, look.ink, 0.62), 40)
    canvas.disc(225, 290, 142, hair, 1.16)


def _insert(canvas: Canvas, seen: Seen, look: Palette) -> None:
    """Draw the thing that is shown alone, large, on a quiet ground, held by a hand if one is named."""
    canvas.veil(look.near, 0.55)
    canvas.glow(WIDTH / 2, HEIGHT / 2, 330, look.glow, 0.4)
    thing = next((name for name in seen.things if name in THINGS), "letter")
    THINGS[thing](canvas, look)
    if seen.hand:
        person = Person.named(seen.names[0] if seen.names else seen.place, look, turned=1)
        canvas.smooth(
            [(1320, 760), (1300, 500), (980, 430), (800, 440), (780, 486), (960, 520), (1040, 640), (1060, 760)],
            person.coat,
        )
        canvas.smooth(
            [
                (1000, 425),
                (880, 392),
                (742, 398),
                (716, 426),
                (738, 450),
                (712, 470),
                (734, 494),
                (860, 516),
                (985, 524),
            ],
            person.skin,
        )
