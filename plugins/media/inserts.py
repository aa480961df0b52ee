"""Things that an insert shows large and alone."""

from __future__ import annotations

from plugins.media.canvas import Canvas, Palette, mix


def _letter(canvas: Canvas, look: Palette) -> None:
    paper = mix(look.glow, (255, 255, 255), 0.45)
    canvas.shape([(470, 190), (800, 160), (836, 540), (502, 572)], mix(look.ink, look.near, 0.4))
    canvas.shape([(460, 180), (790, 150), (826, 530), (492, 562)], paper)
    for row in range(9):
        y = 226 + row * 33
        canvas.line(
            [(508 + row * 3, y), (508 + row * 3 + (240 if row % 4 != 3 else 130), y - 22)], mix(paper, look.ink, 0.5), 4
        )


def _phone(canvas: Canvas, look: Palette) -> None:
    canvas.box(510, 130, 770, 600, look.ink, 36)
    canvas.box(526, 170, 754, 556, mix(look.ink, look.glow, 0.55), 12)
    canvas.glow(640, 360, 170, look.glow, 0.4)
    for row, wide in enumerate((150, 190, 110)):
        canvas.box(546, 220 + row * 74, 546 + wide, 270 + row * 74, mix(look.glow, look.ink, 0.2), 18)


def _mug(canvas: Canvas, look: Palette) -> None:
    body = mix(look.glow, (186, 74, 60), 0.6)
    canvas.disc(640, 590, 190, mix(look.near, look.ink, 0.6), 0.2)
    canvas.disc(800, 420, 80, body)
    canvas.disc(800, 420, 50, mix(look.near, look.ink, 0.3))
    canvas.box(500, 290, 780, 585, body, 40)
    canvas.disc(640, 296, 140, mix(body, (255, 255, 255), 0.25), 0.24)
    canvas.disc(640, 300, 122, (66, 42, 30), 0.2)
    for x in (590, 650, 710):
        canvas.line([(x, 250), (x - 16, 215), (x + 12, 180), (x - 6, 140)], mix(look.horizon, (255, 255, 255), 0.5), 6)


def _key(canvas: Canvas, look: Palette) -> None:
    brass = mix((214, 168, 80), look.ink, 0.1)
    canvas.disc(470, 360, 112, brass)
    canvas.disc(470, 360, 62, mix(look.near, look.ink, 0.35))
    canvas.box(570, 338, 900, 382, brass, 10)
    for x, deep in ((800, 64), (852, 88)):
        canvas.box(x, 372, x + 34, 382 + deep, brass, 6)


def _candle(canvas: Canvas, look: Palette) -> None:
    canvas.box(585, 330, 695, 610, mix(look.glow, (255, 255, 255), 0.35), 14)
    canvas.glow(640, 240, 230, (255, 180, 90), 0.6)
    canvas.smooth([(608, 290), (606, 236), (640, 150), (674, 236), (670, 290), (640, 312)], (250, 170, 60))
    canvas.smooth([(624, 286), (626, 250), (641, 206), (656, 250), (654, 286), (640, 300)], (255, 238, 170))


def _lantern(canvas: Canvas, look: Palette) -> None:
    canvas.glow(640, 370, 300, look.glow, 0.7)
    canvas.line([(560, 200), (600, 130), (680, 130), (720, 200)], look.ink, 10)
    canvas.box(530, 200, 750, 246, look.ink, 12)
    canvas.box(552, 246, 728, 540, mix(look.glow, (255, 255, 255), 0.3))
    for x in (552, 634, 716):
        canvas.box(x, 246, x + 12, 540, look.ink)
    canvas.box(520, 540, 760, 586, look.ink, 12)


THINGS = {
    "letter": _letter,
    "phone": _phone,
    "mug": _mug,
    "key": _key,
    "fire": _candle,
    "lamp": _lantern,
}
