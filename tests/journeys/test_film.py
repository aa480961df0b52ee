"""A film from the event to the fourth checkpoint on Telegram: real app, sandbox, model client and media server."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agent.app import App
from agent.testing.media_server import FakeMedia, Fault
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import serving, started
from agent.testing.telegram_server import FakeTelegram
from agent.testing.telegram_world import Shown
from plugins.media import animatic
from plugins.media.frames import title_card
from tests.journeys.conftest import OWNER, Stage, settings

SCRIPT = """# The Reef

## Characters
- **ANA**: a diver of thirty, red suit

## Script

### 1. EXT. BEACH - DAWN

Ana walks along the beach.

**ANA:** It is still there.

### 2. INT. BOAT - DAY

Ana looks at a map.

**ANA:** Follow me.
"""
WAIT = 60.0
EVENTS = [
    "project.created",
    "scene.written",
    "shot.planned",
    "keyframes.ready",
    "preview.ready",
    "final.ready",
    "delivered",
]


def shot(scene: int, description: str, dialogue: str = "") -> dict[str, Any]:
    return {
        "scene": scene,
        "size": "wide shot",
        "camera": "static",
        "seconds": 2,
        "characters": ["ANA"],
        "description": description,
        "dialogue": dialogue,
    }


def writer(request: dict[str, Any]) -> str:
    """Play the model: answers for each task of a film, by the first words of its prompt."""
    prompt = str(request["messages"][-1]["content"])
    scene = int(found[1]) if (found := re.search(r"scene (\d+)", prompt)) else 0
    answers: dict[str, Any] = {
        "Write the outline": {
            "title": "The Reef",
            "logline": "A diver finds the reef alive.",
            "scenes": [
                {"heading": "EXT. BEACH - DAWN", "summary": "She looks at the sea."},
                {"heading": "INT. BOAT - DAY", "summary": "She looks at a map."},
            ],
        },
        "Create the characters": {"list": [{"name": "ANA", "description": "a diver of thirty, red suit"}]},
        "Describe the places": {"list": [{"name": "BEACH", "description": "white sand, a wreck"}]},
        "Write the style guide": "Warm light, soft grain.",
        "Write scene": {
            "heading": ["EXT. BEACH - DAWN", "INT. BOAT - DAY"][scene - 1],
            "beats": [{"who": "", "text": "Ana looks."}, {"who": "ANA", "text": "It is still there."}],
        },
        "Plan the shots": {"shots": [shot(scene, f"Ana in scene {scene}"), shot(scene, "The sea", "ANA: Look.")]},
        "Revise this list": {"shots": [shot(1, "Ana runs, as wished"), shot(2, "The map", "ANA: Follow me.")]},
        "A person has notes": {"notes": [{"number": "2.1", "change": "tear the map", "description": "A torn map"}]},
        "Write what a narrator": {"result": ["The sea remembers."]},
        "Say for each scene": {"result": ["slow cello", "hand drums"]},
    }
    (said,) = [answer for begins, answer in answers.items() if prompt.startswith(begins)]
    return said if isinstance(said, str) else json.dumps(said)


def black() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (1536, 1024)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
async def media() -> AsyncIterator[FakeMedia]:
    async with FakeMedia() as server:
        yield server


def stage_of(tmp_path: Path, telegram: FakeTelegram, media: FakeMedia | None, model: FakeOpenAI | None) -> Stage:
    server = {"url": media.base_url, "price_image": "0.05", "video_model": "-"} if media else {}
    config = settings(tmp_path, telegram, model, plugins={"media": server})
    return Stage(telegram, model or FakeOpenAI(), config)


@asynccontextmanager
async def filming(stage: Stage) -> AsyncIterator[App]:
    """Be up with the film's pipelines switched on."""
    async with stage.up() as app:
        await app.scheduled.set_schedules()
        await app.scheduled.switch("film", on=True)
        await app.automation.start()
        yield app


async def checkpoint(stage: Stage, said: str) -> Shown:
    return await stage.sees(said, seconds=WAIT, button="✅ Approve")


async def approve(stage: Stage, said: str) -> None:
    await stage.presses(await checkpoint(stage, said), "✅ Approve")


async def handled(app: App) -> list[str]:
    found = await app.store.events("handled")
    return [event.type.removeprefix("film.") for event in found]


def sent(stage: Stage) -> list[str]:
    """Return the names of the files that came into the chat."""
    return [name for message in stage.telegram.bot_messages(OWNER) for name, _ in message.files]


async def send_script(stage: Stage) -> None:
    stage.telegram.user_sends_file(OWNER, "reef.md", SCRIPT.encode())
    await stage.sees("Saved reef.md")


@pytest.mark.timeout(300)
async def test_a_film_comes_from_an_idea_to_the_fourth_checkpoint(
    telegram: FakeTelegram, media: FakeMedia, tmp_path: Path
):
    ending = "mp4" if animatic.can_film() else "gif"
    async with FakeOpenAI(writer) as model:
        stage = stage_of(tmp_path, telegram, media, model)
        media.faults = [Fault("generations", 200, {"data": [{"b64_json": black()}]})]  # made again: it shows nothing
        async with filming(stage) as app:
            stage.says('/run film name=Reef "idea=A diver looks for a reef" seconds=20 budget=2')
            await stage.sees("reef has begun", seconds=WAIT)

            script = await checkpoint(stage, "The Reef: the script is written, 2 scenes")
            assert "It is still there." in script.text
            await stage.presses(script, "✅ Approve")

            planned = await checkpoint(stage, "4 shots are planned")
            assert "It will cost at most $0.20: 4 pictures $0.20" in planned.text
            await stage.presses(planned, "✏️ Revise")
            await stage.sees("What should be different?")
            stage.says("Let her run in the first shot, and make it two shots.")
            again = await checkpoint(stage, "2 shots are planned")
            assert "Ana runs, as wished" in again.text
            assert "at most $0.10: 2 pictures" in again.text
            await stage.presses(again, "✅ Approve")

            await stage.presses(await checkpoint(stage, "the preview is ready, 2 shots"), "✏️ Revise")
            await stage.sees("What should be different?", button="")
            stage.says("The map should be torn.")
            await stage.until(lambda: sent(stage).count(f"preview.{ending}") == 2, WAIT)
            await approve(stage, "the preview is ready, 2 shots")
            await approve(stage, "the film is ready. Is it done?")
            await stage.sees("reef is done", seconds=WAIT)
            await stage.until(lambda: "archive.zip" in sent(stage), WAIT)

            assert await handled(app) == EVENTS
            runs = [run for run in await app.store.recent_runs() if run.project == "reef"]
            assert [(run.source.removeprefix("pipeline:film-"), run.priority) for run in reversed(runs)] == [
                ("script", 10),
                ("shots", 8),
                ("keyframes", 5),
                ("preview", 5),
                ("final", 3),
                ("delivery", 1),
            ]
            assert {run.status for run in runs} == {"COMPLETED"}
            status = await app.store.project_status("reef")
            assert status is not None
            assert (status.project.budget, status.balance.money, status.balance.reserved_money) == (
                2.0,
                pytest.approx(0.2),
                0.0,
            )
            decided = [one.decision for run in reversed(runs) for one in await app.store.approvals_of(run.id)]
            assert decided == ["allow", "revise", "allow", "revise", "allow", "allow"]

        (revised,) = [asked for asked in stage.asked("step") if asked.startswith("Revise this list")]
        assert "Let her run in the first shot" in revised
        prompts = [fields["prompt"] for fields in media.fields("images/generations")]
        assert len(prompts) == 2
        assert all("Warm light, soft grain." in prompt for prompt in prompts)
        film = stage.workspace() / "films" / "reef"
        assert "Ana runs, as wished" in (film / "shots.csv").read_text()
        assert "The sea remembers." in (film / "voiceover.md").read_text()
        assert "hand drums" in (film / "music.md").read_text()
        assert "Follow me." in (film / "subtitles.srt").read_text()
        (edit,) = media.fields("images/edits")
        assert (edit["prompt"], edit["image"]) == ("tear the map", "image.png")
        assert {f"preview.{ending}", f"final.{ending}", "poster.png", "storyboard.png"} <= set(sent(stage))
        assert not any(name.startswith("1.1") for name in sent(stage))
        assert {call.outcome[:3] for call in stage.refused()} <= {"429"}  # several files at once are waited for


@pytest.mark.timeout(300)
async def test_a_budget_stops_a_film_before_it_is_overspent_and_it_goes_on_where_it_stood(
    telegram: FakeTelegram, media: FakeMedia, tmp_path: Path
):
    stage = stage_of(tmp_path, telegram, media, None)
    async with filming(stage) as app:
        await send_script(stage)
        stage.says("/run film name=reef script=reef.md budget=0.12")

        await checkpoint(stage, "the script is written")
        await app.automation.pause_project("reef", paused=True)
        await approve(stage, "the script is written")
        await stage.sees("✅ Approved", seconds=WAIT)
        await app.engine.idle()
        assert [event.type for event in await app.store.events("new", project="reef")] == ["film.scene.written"]
        await app.automation.pause_project("reef", paused=False)

        await approve(stage, "4 shots are planned")
        refused = await stage.sees("dirigent projects budget reef AMOUNT changes it", seconds=WAIT)
        assert "The budget of project reef is $0.12: $0.10 is used" in refused.text
        assert len(media.fields("images/generations")) == 2
        assert (await app.store.balance("project:reef")).money == pytest.approx(0.1)

        stage.says("/run film name=reef stage=keyframes budget=0.22")
        await checkpoint(stage, "the preview is ready, 4 shots")

        assert len(media.fields("images/generations")) == 4
        assert (await app.store.balance("project:reef")).money == pytest.approx(0.2)
        assert any("$0.20 of the $0.22 for project reef is spent" in text for text in stage.texts())
        assert (await handled(app))[-1] == "keyframes.ready"
        assert [event.type for event in await app.store.events("dead")] == []


@pytest.mark.timeout(300)
@pytest.mark.skipif(not animatic.can_film(), reason="the extra `film` is not installed")
async def test_the_videos_of_a_media_server_are_joined_to_the_film(telegram: FakeTelegram, tmp_path: Path):
    clip = tmp_path / "clip.mp4"
    animatic.write([animatic.Scene(title_card("clip"), 0.5)], clip)
    async with FakeMedia(video=clip.read_bytes()) as media:
        stage = stage_of(tmp_path, telegram, media, None)
        stage.config.plugins["media"]["video_model"] = "vid"
        async with filming(stage) as app:
            await send_script(stage)
            stage.says("/run film name=reef script=reef.md budget=9")
            for said in ("the script is written", "are planned", "the preview is ready", "the film is ready"):
                await approve(stage, said)
            await stage.sees("reef is done", seconds=WAIT)
            spent = (await app.store.balance("project:reef")).money
        assert len(media.jobs) == 4
        seconds = sum(int(job["fields"]["seconds"]) for job in media.jobs.values())
        assert spent == pytest.approx(4 * 0.05 + seconds * 0.10)
        made = stage.workspace() / "films" / "reef" / "final.mp4"
        import av

        with av.open(str(made)) as film:
            frames = sum(1 for _ in film.decode(video=0))
        assert frames == 4 * 12 + round((2.5 + 3.0) * 24)


@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_a_film_that_is_killed_while_its_pictures_are_made_goes_on(
    telegram: FakeTelegram, media: FakeMedia, tmp_path: Path
):
    home = tmp_path / "home"
    home.mkdir()
    (home / "dirigent.toml").write_text(f'[plugins.media]\nurl = "{media.base_url}"\nvideo_model = "-"\n')
    stage = Stage(telegram, FakeOpenAI(), settings(tmp_path, telegram, None))
    switched = await started(home, telegram, "pipelines", "enable", "film")
    assert await switched.wait() == 0
    async with serving(home, telegram):
        await send_script(stage)
        stage.says("/run film name=reef script=reef.md budget=5")
        await approve(stage, "the script is written")
        await checkpoint(stage, "4 shots are planned")
    async with serving(home, telegram):
        planned = await checkpoint(stage, "4 shots are planned")
        await stage.presses(planned, "✅ Approve")
        await media.wait_for(lambda: len(media.fields("images/generations")) >= 2)
    before = len(media.fields("images/generations"))
    async with serving(home, telegram):
        await approve(stage, "the preview is ready, 4 shots")
        await checkpoint(stage, "the film is ready. Is it done?")

    asked = media.fields("images/generations")
    assert len({fields["prompt"] for fields in asked}) == 4
    assert 4 <= len(asked) <= 4 + min(before, 2)  # what was on its way when it was killed is made again, no more
    assert len([text for text in stage.texts() if "4 shots are planned" in text]) == 1


def revising(request: dict[str, Any]) -> str:
    """Play the model as `writer` does, and revise the script."""
    prompt = str(request["messages"][-1]["content"])
    if prompt.startswith("A person has notes"):
        return json.dumps(
            {"notes": [{"number": "2.1", "seconds": 2, "change": "tear it", "description": "A torn map"}]}
        )
    if not prompt.startswith("Revise this script"):
        return writer(request)
    scenes = [
        {"heading": name, "beats": [{"who": "", "text": "Ana runs."}]}
        for name in ("EXT. BEACH - DAWN", "INT. BOAT - DAY")
    ]
    people = [{"name": "ANA", "description": "a diver of thirty, red suit"}]
    return json.dumps(
        {
            "title": "The Reef II",
            "logline": "",
            "style": "warm",
            "characters": people,
            "locations": [],
            "scenes": scenes,
        }
    )


ASKED = {
    "script": "the script is written",
    "shots": "shots are planned",
    "preview": "the preview is ready",
    "final": "the film is ready",
}
READY = {"scene_written", "shot_planned", "preview_video_ready", "final_video_ready"}
REVISED = {
    "script": {"revise_script", "write_script", "check_script"},
    "shots": {"revise_shots", "write_shot_list", "check_shots", "estimate_cost", "draw_storyboard"},
    "preview": {"sort_notes", "edit_image", "redraw_keyframe", "redraw_keyframe__0", "generate_preview_video"},
    "final": {
        *("sort_final_notes", "remake_video", "retouch", "redraw", "redraw__0"),
        *("assemble_final_video", "draw_poster", "check_final_video"),
    },
}


@pytest.mark.timeout(300)
async def test_a_revision_at_each_checkpoint_has_done_anew_exactly_what_follows_from_it(
    telegram: FakeTelegram, tmp_path: Path
):
    async with FakeOpenAI(revising) as model:
        stage = stage_of(tmp_path, telegram, None, model)
        async with filming(stage) as app:
            stage.says('/run film name=Reef "idea=A diver looks for a reef" seconds=20')
            for name, said in ASKED.items():
                first = await checkpoint(stage, said)
                await stage.presses(first, "✏️ Revise")
                await stage.sees("What should be different?")
                stage.says(f"Otherwise at the {name}.")
                revised = f"To be different\nOtherwise at the {name}."
                await stage.until(lambda revised=revised: [text for text in stage.texts() if revised in text], WAIT)
                await approve(stage, said)
            await stage.sees("reef is done", seconds=WAIT)

            runs = {run.source.removeprefix("pipeline:film-"): run for run in await app.store.recent_runs()}
            for name, wanted in REVISED.items():
                records = await app.store.get_steps(runs[name].id)
                assert {one.step.id.replace("-r2", "") for one in records if "-r2" in one.step.id} == wanted
                (ready,) = [one for one in records if one.step.id in READY]
                assert (ready.status, runs[name].status) == ("COMPLETED", "COMPLETED")
        wishes = [asked for asked in stage.asked("step") if "Otherwise at the" in asked]
        assert [f"Otherwise at the {name}." in wish for name, wish in zip(REVISED, wishes, strict=True)] == [True] * 4
        film = stage.workspace() / "films" / "reef"
        assert "Ana runs." in (film / "script.md").read_text()
        assert "Ana runs, as wished" in (film / "shots.csv").read_text()
