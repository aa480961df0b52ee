"""A film's folder, script, shots and papers: read as people write them, written so that they can be read again."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agent.catalogue import Catalogue
from agent.pipelines import Pipelines
from plugins.api import ToolFailure
from plugins.film import (
    film_archive,
    film_begin,
    film_break_down,
    film_check,
    film_estimate,
    film_load,
    film_poster,
    film_prompts,
    film_read_script,
    film_save_script,
    film_save_shots,
    film_status,
    film_tasks,
    film_write,
    papers,
    scripts,
)
from plugins.film.records import Script, slug
from plugins.film.tasks import PRIORITIES, TASKS
from plugins.loader import discover
from plugins.media import draw_frame

SCRIPT = """# The Lighthouse

> A keeper finds out who answers her signals.

## Style

Muted blues, one warm light.

## Characters

- **MARA**: sixty, grey bun, oilskin coat
- **JON**: a boy of ten, red cap

## Locations

- **LIGHTHOUSE**: a white tower with a red band

## Script

### 1. EXT. LIGHTHOUSE - NIGHT

A storm. The beam sweeps over the sea.

Mara climbs the stairs with a lamp in her hand.

**MARA:** Who is out there?

### 2. EXT. BEACH - DAWN

Jon and Mara walk along the water.

**JON:** I saw your light.
"""
FOUNTAIN = """Title: The Lighthouse

INT. KITCHEN - NIGHT

Mara listens to the radio.

MARA
(whispering)
Who is out there?

1. EXT. BEACH - DAY

Nobody answers: only the sea.
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def film(workspace: Path) -> str:
    """A film whose script and shots are there."""
    (workspace / "script.md").write_text(SCRIPT)
    film_begin("Light House!", script="script.md", seconds=30, people={"MARA": "Ada", "Direction": "Bob"})
    film_save_script("light-house", film_read_script("script.md").value)
    film_save_shots("light-house", film_break_down("light-house").value["shots"])
    return "light-house"


# --- scripts ------------------------------------------------------------------------------------------------------
def test_a_script_in_markdown_is_read_and_written_as_it_was():
    script = scripts.parse(SCRIPT)

    assert (script.title, script.logline) == ("The Lighthouse", "A keeper finds out who answers her signals.")
    assert script.style == "Muted blues, one warm light."
    assert [one.name for one in script.characters] == ["MARA", "JON"]
    assert [scene.heading for scene in script.scenes] == ["EXT. LIGHTHOUSE - NIGHT", "EXT. BEACH - DAWN"]
    assert [(beat.who, beat.text) for beat in script.scenes[0].beats][2] == ("MARA", "Who is out there?")
    assert scripts.render(script) == SCRIPT
    assert Script.of(script.to_json()) == script


def test_a_script_as_screenwriters_set_it_is_read():
    script = scripts.parse(FOUNTAIN)

    assert script.title == "The Lighthouse"
    assert [scene.heading for scene in script.scenes] == ["INT. KITCHEN - NIGHT", "EXT. BEACH - DAY"]
    assert [(beat.who, beat.text) for beat in script.scenes[0].beats] == [
        ("", "Mara listens to the radio."),
        ("MARA", "Who is out there?"),
    ]
    assert script.scenes[1].beats[0].who in {"", "Nobody answers"}
    assert "MARA" in [one.name for one in script.characters]


def test_a_chinese_script_is_read():
    script = scripts.parse(
        "# 灯塔\n\n## 人物\n- 小明：十岁\n\n## 剧本\n### 1. 外景 海滩 - 清晨\n\n小明走来。\n\n小明：你好！\n"
    )

    assert (script.title, script.scenes[0].heading) == ("灯塔", "外景 海滩 - 清晨")
    assert [(beat.who, beat.text) for beat in script.scenes[0].beats] == [("", "小明走来。"), ("小明", "你好！")]


@pytest.mark.parametrize("text", ["", "Just some words.", "# A title\n\n## Characters\n- MARA: x\n"])
def test_what_is_no_script_is_refused_with_how_one_is_written(text: str):
    with pytest.raises(ToolFailure, match="No scene") as failed:
        scripts.parse(text)
    assert "### 1. EXT. BEACH - NIGHT" in failed.value.hint


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({"scenes": []}, "no scene"),
        ({"scenes": [{"heading": "A", "beats": []}]}, "In scene 1 nothing happens"),
        ({"scenes": "many"}, "must be a list"),
        ({"scenes": ["x"]}, "Scene 1 is no record"),
    ],
)
def test_a_script_without_what_it_needs_is_refused(script: dict[str, Any], said: str):
    with pytest.raises(ToolFailure, match=said):
        Script.of(script)


def test_a_name_becomes_a_folders_and_nothing_else():
    assert [slug(name) for name in ("The Light!", "../../etc", "灯塔 1", "A  --  B")] == [
        "the-light",
        "etc",
        "灯塔-1",
        "a-b",
    ]
    with pytest.raises(ToolFailure, match="no name for a film"):
        slug("///")


# --- shots --------------------------------------------------------------------------------------------------------
def test_the_shots_by_rule_cover_everything_that_happens_and_is_said(film: str):
    shots = film_load(film).value["shots"]

    assert [shot["number"] for shot in shots] == ["1.1", "1.2", "1.3", "2.1", "2.2"]
    assert [shot["size"] for shot in shots] == ["wide shot", "insert", "medium close-up", "wide shot", "close-up"]
    assert shots[2]["dialogue"] == "MARA: Who is out there?"
    assert shots[3]["characters"] == ["MARA", "JON"]
    assert 15 <= sum(shot["seconds"] for shot in shots) <= 40


def test_a_list_of_shots_that_a_person_changed_is_read(film: str, workspace: Path):
    path = workspace / "films/light-house/shots.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    rows[1]["description"] = '=HYPERLINK("x")'
    rows[1]["seconds"] = "2,5"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    changed = film_load(film).value["shots"][1]

    assert (changed["description"], changed["seconds"]) == ('=HYPERLINK("x")', 2.5)
    film_save_shots(film, film_load(film).value["shots"])
    assert "'=HYPERLINK" in path.read_text()
    assert film_load(film).value["shots"][1]["description"] == '=HYPERLINK("x")'


@pytest.mark.parametrize(
    ("shots", "said"),
    [
        ([], "no shot"),
        ([{"scene": 9, "description": "x"}], "Shot 1 is of scene 9; the script has 2"),
        ([{"scene": 1}], "Shot 1 says nothing"),
        ([{"scene": 1, "description": "x", "seconds": "long"}], "lasts 'long'"),
        ([{"scene": 1, "description": "x", "seconds": 900}], "lasts 900 s"),
        (["x"], "Shot 1 is no record"),
    ],
)
def test_shots_that_cannot_be_are_refused(film: str, shots: list[Any], said: str):
    before = film_load(film).value["shots"]
    with pytest.raises(ToolFailure, match=said):
        film_save_shots(film, shots)
    assert film_load(film).value["shots"] == before


def test_shots_of_several_scenes_come_in_one_list_numbered_anew(film: str):
    given = [
        {"shots": [{"scene": 1, "description": "a"}, {"scene": 1, "description": "b"}]},
        {"shots": [{"scene": "2.7", "description": "c"}]},
    ]
    made = film_save_shots(film, given).value["shots"]
    assert [(shot["number"], shot["description"]) for shot in made] == [("1.1", "a"), ("1.2", "b"), ("2.1", "c")]


def test_the_same_person_and_place_are_described_in_the_same_words(film: str):
    prompts = [row["prompt"] for row in film_prompts(film).value]

    assert all("Muted blues, one warm light." in prompt for prompt in prompts)
    assert "MARA: sixty, grey bun, oilskin coat" in prompts[2]
    assert "JON: a boy of ten, red cap" in prompts[4]
    assert sum("LIGHTHOUSE: a white tower" in prompt for prompt in prompts) == 3


def test_the_cost_is_foreseen(film: str):
    ready = {"images": True, "videos": True, "price_image": 0.05, "price_video_second": 0.1}
    cost = film_estimate(film, ready)
    assert cost.value["images"] == 0.25
    assert cost.value["total"] == pytest.approx(cost.value["images"] + cost.value["videos"])
    assert f"${cost.value['total']:.2f}" in cost.text
    assert film_estimate(film, {"images": False, "videos": False}).value["total"] == 0


# --- papers -------------------------------------------------------------------------------------------------------
def test_subtitles_are_in_step_with_the_film(film: str):
    shots = film_load(film).value["shots"]
    srt = film_write(film, "subtitles").value["text"]

    begins = papers.LEAD + shots[0]["seconds"] + shots[1]["seconds"] + 0.1
    assert srt.startswith(f"1\n00:00:{int(begins):02},{round(begins % 1 * 1000):03} --> ")
    assert "\nWho is out there?\n" in srt
    assert len(re.findall(r"-->", srt)) == 2
    other = film_write(film, "subtitles", ["Wer ist da?", "Ich sah dein Licht."], "subtitles-other.srt")
    assert "Wer ist da?" in other.value["text"]
    assert "Who is" in Path("films/light-house/subtitles.srt").read_text()


def test_the_other_papers_say_what_they_should(film: str):
    assert "| M1 | 0:02 |" in film_write(film, "music").value["text"]
    assert "solo cello" in film_write(film, "music", ["solo cello", "waves"]).value["text"]
    assert "MARA: Who is out there?" in film_write(film, "voiceover").value["text"]
    assert "1. It was night." in film_write(film, "voiceover", ["It was night."]).value["text"]
    assert film_write(film, "credits").value["text"].splitlines() == [
        "The Lighthouse",
        "MARA    Ada",
        "JON",
        "Direction    Bob",
    ]
    edit = film_write(film, "edit list").value["text"]
    assert edit.startswith("TITLE: THE LIGHTHOUSE\n")
    assert re.search(r"001  AX       V     C        00:00:00:00 \S+ 00:00:02:12 ", edit)
    assert "- Scenes: 2, shots: 5 (2 with dialogue)" in film_write(film, "report").value["text"]


def test_what_is_wrong_is_found(film: str):
    assert film_check(film, "script").value == {"ok": True, "findings": []}
    assert film_check(film, "shots").value["ok"] is True
    fast = [{"scene": 1, "description": "x", "seconds": 1, "dialogue": "MARA: " + "word " * 30, "characters": ["BOB"]}]
    film_save_shots(film, fast)
    found = film_check(film, "shots").text
    assert "Scene 2 has no shot." in found
    assert "31 words can't be spoken in 1 s." in found
    assert "BOB is in 1 shots and not in the script." in found
    looks = [{"problems": ["it is almost black"], "tone": [0, 0, 0]}]
    assert "Shot 1.1: it is almost black." in film_check(film, "frames", looks).text
    film_write(film, "subtitles")
    assert "The final video is missing." in film_check(film, "final").text


def test_the_poster_and_the_archive_hold_the_film(film: str):
    draw_frame("A beach at sunset.", output="films/light-house/frames/1.1.png")
    film_poster(film)
    archive = film_archive(film)

    with Image.open("films/light-house/poster.png") as poster:
        assert poster.size == (1000, 1500)
    with zipfile.ZipFile(archive.value["path"]) as kept:
        assert {"light-house/script.md", "light-house/shots.csv", "light-house/frames/1.1.png"} <= set(kept.namelist())
    assert archive.files[-1] == "films/light-house/archive.zip"


def test_how_far_a_film_is_can_be_asked(film: str):
    assert film_status("").value == ["light-house"]
    status = film_status(film)
    assert status.value["done"] == ["CREATE_PROJECT", "WRITE_SCRIPT", "WRITE_SHOT_LIST"]
    assert "WRITE_SHOT_LIST: shots.csv" in status.text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: film_begin("x"), "neither an idea nor a script"),
        (lambda: film_begin("x", idea="y", seconds=2), "A film of 2 seconds"),
        (lambda: film_load("nothing"), "There is no film 'nothing'"),
        (lambda: film_load("../../etc"), "There is no film"),
        (lambda: film_save_shots("x", []), "There is no film 'x'"),
        (lambda: film_read_script("missing.md"), "no file 'missing.md'"),
    ],
)
def test_a_mistake_is_said_with_the_way_on(call: Any, said: str):
    with pytest.raises(ToolFailure, match=re.escape(said)):
        call()


def test_a_film_without_a_script_yet_says_so(workspace: Path):
    film_begin("x", idea="y")
    assert json.loads((workspace / "films/x/film.json").read_text())["title"] == "X"
    assert film_load("x").value["script"] is None
    with pytest.raises(ToolFailure, match=r"no script\.md yet"):
        film_break_down("x")


# --- the tasks and the pipelines ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Pipelines:
    catalogue = Catalogue(discover(entry_points=False))
    return Pipelines(tmp_path_factory.mktemp("home") / "pipelines", catalogue)


def test_every_task_is_carried_by_a_step_with_its_priority_and_timeout(pipelines: Pipelines):
    assert len(TASKS) == len({task.name for task in TASKS}) >= 30
    read = {name: pipelines.read(pipelines.file_of(name))[0] for name in PRIORITIES}
    for task in TASKS:
        (step,) = [step for step in read[task.pipeline].steps if step.id == task.step]
        assert step.use not in {"value", "publish"}
        assert (step.timeout or 300) == task.timeout, task.name
        (trigger,) = read[task.pipeline].triggers
        assert trigger.priority == task.priority
        assert trigger.event is not None
    assert sorted(PRIORITIES.values(), reverse=True) == [10, 8, 5, 5, 3, 1]
    assert len(film_tasks().value) == len(TASKS)


@pytest.mark.parametrize("name", ["film", *PRIORITIES])
def test_every_pipeline_is_right_as_a_whole(pipelines: Pipelines, name: str):
    assert pipelines.load(name).steps


def test_the_four_checkpoints_stand_where_they_should(pipelines: Pipelines):
    found = {
        step.approval.name: (step.use, step.approval.revise)
        for name in PRIORITIES
        for step in pipelines.read(pipelines.file_of(name))[0].steps
        if step.approval is not None
    }
    assert found == {
        "SCENE_WRITTEN": ("publish", ("revise_script",)),
        "SHOT_PLANNED": ("publish", ("revise_shots",)),
        "PREVIEW_VIDEO_READY": ("publish", ("sort_notes",)),
        "FINAL_VIDEO_READY": ("publish", ("sort_final_notes",)),
    }
