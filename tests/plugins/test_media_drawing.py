"""Storyboards and animatics drawn here: every shot becomes a picture, in any words, and the films last as they should."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from plugins.api import ToolFailure
from plugins.media import check_pictures, draw_frame, draw_storyboard, frames, make_animatic
from plugins.media.fonts import Type, missing
from plugins.media.pictures import keep_picture, looked_at
from plugins.media.shots import Shot, seen
from plugins.media.vocabulary import PLACES, SIZES

NIGHT = {"number": "1.1", "heading": "EXT. LIGHTHOUSE - NIGHT", "description": "Mara climbs.", "size": "wide shot"}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def colours(shot: dict[str, object]) -> int:
    picture = frames.picture(Shot.of(shot))
    assert picture.size == (1280, 720)
    return len(picture.resize((160, 90)).getcolors(160 * 90) or [])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("light", ["NIGHT", "SUNSET", "STORM", "SNOW"])
def test_every_place_is_a_picture_in_any_light(place: str, light: str):
    word = PLACES[place].partition("|")[0]
    assert colours({"heading": f"EXT. {word} - {light}", "description": f"A man in the {word}.", "size": "full"}) > 60


@pytest.mark.parametrize("size", SIZES)
def test_every_framing_is_another_picture(size: str):
    shot = {**NIGHT, "size": SIZES[size].partition("|")[0], "characters": ["MARA", "JON"]}
    assert seen(Shot.of(shot)).size == size
    assert colours(shot) > 40


def test_the_same_shot_looks_the_same_each_time_and_another_one_does_not():
    one, two = (frames.picture(Shot.of(NIGHT)).tobytes() for _ in range(2))
    assert one == two
    assert one != frames.picture(Shot.of({**NIGHT, "description": "A boat in the harbour."})).tobytes()


@pytest.mark.parametrize(
    ("shot", "light", "place", "size", "inside"),
    [
        ({"heading": "INT. KITCHEN - NIGHT", "description": "x", "size": "CU"}, "night", "room", "cu", True),
        ({"heading": "AUSSEN. STRAND - ABEND", "description": "Totale", "size": ""}, "dusk", "sea", "ws", False),
        ({"heading": "外景 森林 - 清晨", "description": "小明走来", "size": "全景"}, "dawn", "forest", "ws", False),
        ({"heading": "EXT. RUE - JOUR", "description": "Un homme", "size": "gros plan"}, "day", "city", "cu", False),
    ],
)
def test_the_words_of_a_shot_are_understood_in_several_languages(shot, light, place, size, inside):
    what = seen(Shot.of(shot))
    assert (what.light, what.place, what.size, what.inside) == (light, place, size, inside)


@pytest.mark.parametrize(
    "text", ["日本語のテキスト", "\x00\u202e", "a" * 900, "🎬 emoji", "Привет, мир", "word " * 400, ""]
)
def test_no_text_makes_a_card_fail(text: str):
    shot = Shot.of({**NIGHT, "description": text, "dialogue": text, "heading": f"{text} x", "camera": text})
    assert frames.card(shot, frames.picture(shot)).size == frames.CARD


def test_lines_are_never_wider_than_their_room():
    face = Type(25)
    for text in ("short words and a few longer ones " * 6, "x" * 300, "文字" * 90):
        lines = face.wrap(text, 400, 4)
        assert 1 < len(lines) <= 4
        assert all(face.width(line) <= 400 for line in lines)
        assert lines[-1].endswith("…")


def test_a_storyboard_has_a_card_for_each_shot_and_a_sheet():
    made = draw_storyboard([NIGHT, {**NIGHT, "seconds": "2,5 s", "number": ""}], "board", "The Light")

    assert made.value["seconds"] == 5.5
    assert [Path(card).name for card in made.value["cards"]] == ["001.png", "002.png"]
    assert all(size_of(path) == frames.CARD for path in made.value["cards"])
    assert made.files == ("board/storyboard.png",)
    assert "2 shots · 0:06" in made.text or "2 shots · 0:05" in made.text


def test_what_no_font_shows_is_said():
    assert missing("abc Привет") == ""
    strange = "\U00012000"
    assert strange in draw_storyboard([{"description": f"A sign: {strange}"}]).text


def test_an_animatic_lasts_as_long_as_its_shots():
    for number in range(2):
        draw_frame("A beach.", number=str(number), output=f"f{number}.png")

    made = make_animatic(
        ["f0.png", "f1.png"], seconds=[1.5, 2], captions=["", "MARA: Hello?"], title="T", credits_text="End\nMara"
    )

    shown = []
    with Image.open("animatic.gif") as film:
        for place in range(film.n_frames):
            film.seek(place)
            shown.append(film.info["duration"])
    assert shown == [2500, 1500, 2000, 3000]
    assert made.value["seconds"] == 9.0


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="the extra `film` is not installed")
def test_an_mp4_joins_pictures_and_clips():
    import av

    draw_frame("A beach.", output="f.png")
    make_animatic(["f.png"], seconds=[0.5], output="clip.mp4")
    made = make_animatic(["f.png", "clip.mp4"], seconds=[1, 9], output="film.mp4")

    with av.open("film.mp4") as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height) == (1280, 720)
        assert sum(1 for _ in film.decode(video=0)) == 36
    assert made.value["seconds"] == 1.5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: draw_storyboard([{}]), "Shot 1 says nothing"),
        (lambda: draw_storyboard([]), "0 shots"),
        (lambda: draw_storyboard([{**NIGHT, "seconds": "long"}]), "lasts 'long'"),
        (lambda: draw_storyboard([{**NIGHT, "seconds": 0}]), "lasts 0 s"),
        (lambda: draw_storyboard([NIGHT], "../out"), "outside the workspace"),
        (lambda: draw_storyboard([NIGHT], pictures=["a.png", "b.png"]), "1 shots, but 2 pictures"),
        (lambda: make_animatic([]), "no picture"),
        (lambda: make_animatic(["nothing.png"]), "no file 'nothing.png'"),
        (lambda: make_animatic(["note.txt"]), "can't be read as a picture"),
        (lambda: make_animatic(["good.png"], output="film.avi"), "neither a .gif nor an .mp4"),
        (lambda: make_animatic(["clip.mp4"], output="film.gif"), "is a video"),
        (lambda: make_animatic(["good.png"], seconds=[-1]), "lasts -1 s"),
    ],
)
def test_a_mistake_is_said_in_words(workspace: Path, call, said: str):
    (workspace / "note.txt").write_text("no picture")
    (workspace / "clip.mp4").write_bytes(b"....ftyp")
    draw_frame("A beach.", output="good.png")
    with pytest.raises(ToolFailure, match=said.replace(".", r"\.")):
        call()


def test_a_picture_that_shows_nothing_is_found():
    draw_frame("A city street at night.", heading="EXT. CITY - NIGHT", output="good.png")
    Image.new("RGB", (1280, 720), (1, 1, 1)).save("black.png")
    Image.new("RGB", (100, 300), (90, 120, 200)).save("flat.png")

    found = check_pictures(["good.png", "black.png", "flat.png"]).value

    assert [bool(one["problems"]) for one in found["pictures"]] == [False, True, True]
    assert found["ok"] is False
    assert "black.png: it is almost black" in found["problems"][0]
    assert looked_at("flat.png")["problems"] == [
        "it is one flat colour",
        "it is smaller than 256 pixels",
        "it is no wide picture",
    ]


def test_bytes_that_are_no_picture_leave_nothing_behind(workspace: Path):
    with pytest.raises(ToolFailure, match="can't be read as a picture"):
        keep_picture("bm8gcGljdHVyZQ==", "out/a.png")
    assert [path.name for path in workspace.rglob("*") if path.is_file()] == []


def test_a_picture_with_too_many_pixels_is_refused(workspace: Path):
    Image.new("1", (9_000, 9_000)).save("bomb.png")
    with pytest.raises(ToolFailure, match="9000 × 9000"):
        looked_at("bomb.png")
