"""Pictures and videos by a media server over real sockets: what is sent, what is kept, what goes wrong, what is paid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.testing.media_server import FakeMedia, Fault
from plugins.api import ToolFailure, spec_of
from plugins.media import edit_image, generate_image, generate_video, media_ready, videos
from plugins.media.endpoint import Ask, MediaServer, checked_url


class Surroundings:
    """The context of a host tool with a workspace in a folder."""

    def __init__(self, host_ctx: Any, url: str) -> None:
        self._plain = host_ctx
        host_ctx.settings |= {"url": url, "image_model": "pix", "video_model": "vid", "price_image": "0.03"}
        self.artifacts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def artifact(self, path: str, title: str = "") -> str:
        self.artifacts.append(path)
        return path

    async def save(self, name: str, data: bytes) -> str:
        (self.workdir / name).parent.mkdir(parents=True, exist_ok=True)
        (self.workdir / name).write_bytes(data)
        return name


@pytest.fixture
async def media() -> AsyncIterator[FakeMedia]:
    async with FakeMedia() as server:
        yield server


@pytest.fixture
def ctx(host_ctx: Any, media: FakeMedia) -> Any:
    return Surroundings(host_ctx, media.base_url)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts and looks are noted, not waited."""
    waited: list[float] = []

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(MediaServer.__init__, "__kwdefaults__", {"pause": noted})
    monkeypatch.setattr(videos.make, "__kwdefaults__", {"pause": noted})
    return waited


async def test_a_picture_is_made_and_costs_what_the_owner_says(ctx: Any, media: FakeMedia, host_ctx: Any):
    host_ctx.secrets["media_key"] = media.api_key = "key-of-the-owner"

    made = await generate_image(ctx, "a lighthouse", output="out/light.jpg")

    assert media.fields("images/generations") == [
        {"model": "pix", "prompt": "a lighthouse", "size": "1536x1024", "n": "1"}
    ]
    assert (ctx.workdir / "out/light.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert (made.cost, made.files, ctx.artifacts) == (0.03, ("out/light.jpg",), ["out/light.jpg"])
    assert "keep_picture" in ctx.ran_inside


async def test_a_picture_is_edited_with_its_mask(ctx: Any, media: FakeMedia):
    await generate_image(ctx, "a lighthouse", output="a.png")

    await edit_image(ctx, "a.png", "at night", mask="a.png")

    (fields,) = media.fields("images/edits")
    assert (fields["image"], fields["mask"], fields["prompt"]) == ("image.png", "mask.png", "at night")
    assert (ctx.workdir / "a-edited.png").is_file()


async def test_a_picture_that_comes_as_an_address_is_fetched_from_the_server_itself(ctx: Any, media: FakeMedia):
    media.as_address = "http://127.0.0.1:{port}/files/a.png"
    await generate_image(ctx, "x", output="a.png")
    assert (ctx.workdir / "a.png").is_file()


async def test_an_address_that_leads_inside_is_refused(ctx: Any, media: FakeMedia):
    async with FakeMedia() as other:
        media.as_address = f"http://127.0.0.1:{other.port}/files/a.png"
        with pytest.raises(ToolFailure, match="not on the public internet"):
            await generate_image(ctx, "x", output="a.png")
    assert not (ctx.workdir / "a.png").exists()


async def test_a_busy_server_is_asked_again_when_it_says(ctx: Any, media: FakeMedia, no_waiting: list[float]):
    media.faults = [Fault("generations", 429, headers={"Retry-After": "7"}), Fault("generations", 503)]
    await generate_image(ctx, "x")
    assert no_waiting[0] == 7.0
    assert len(no_waiting) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("generations", 401, {"error": {"message": "Incorrect API key"}}), "Incorrect API key.*media_key"),
        (Fault("generations", 404, {"detail": "Not Found"}), "404.*no such model"),
        (
            Fault("generations", 400, {"error": {"message": "bad", "code": "moderation_blocked"}}),
            "refuses.*other words",
        ),
        (Fault("generations", 429, {"error": {"message": "x", "code": "insufficient_quota"}}), "out of money"),
        (Fault("generations", 429, {}, {"Retry-After": "3600"}), "come back in 3600 seconds"),
        (Fault("generations", 200, []), "no JSON object"),
        (Fault("generations", 200, {"data": []}), "holds no picture"),
        (Fault("generations", 200, {"data": [{"b64_json": "bm8="}]}), "can't be read as a picture"),
    ],
)
async def test_what_goes_wrong_is_named_with_the_way_on(ctx: Any, media: FakeMedia, fault: Fault, said: str):
    media.faults = [fault]
    with pytest.raises(ToolFailure) as failed:
        await generate_image(ctx, "x")
    import re

    assert re.search(said, f"{failed.value} {failed.value.hint}")


async def test_a_server_that_stays_down_is_named(ctx: Any, media: FakeMedia):
    media.faults = [Fault("generations", 500) for _ in range(4)]
    with pytest.raises(ToolFailure, match="500") as failed:
        await generate_image(ctx, "x")
    assert "run this again later" in failed.value.hint


async def test_a_video_is_waited_for_and_handed_over(ctx: Any, media: FakeMedia):
    await generate_image(ctx, "first", output="first.png")
    media.looks = 3

    made = await generate_video(ctx, "waves", seconds=3.2, image="first.png", output="clips/1.mp4")

    assert (ctx.workdir / "clips/1.mp4").read_bytes() == media.video
    assert made.value == {"path": "clips/1.mp4", "seconds": 4}
    assert made.cost == pytest.approx(0.4)
    (fields,) = media.fields("videos")
    assert (fields["seconds"], fields["input_reference"]) == ("4", "frame.png")
    assert "video in_progress" in ctx.said
    assert list(ctx.workdir.glob("clips/*.job.json")) == []


async def test_a_video_that_was_begun_before_a_crash_is_not_paid_twice(ctx: Any, media: FakeMedia):
    media.hold = True
    first = asyncio.create_task(generate_video(ctx, "waves", output="v.mp4"))
    while not media.jobs or next(iter(media.jobs.values()))["looks"] == 0:
        media.changed.clear()
        await media.changed.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    media.hold = False

    await generate_video(ctx, "waves", output="v.mp4")

    assert len(media.jobs) == 1
    assert len(media.fields("videos")) == 1


async def test_an_answer_that_was_lost_begins_the_same_job(ctx: Any, media: FakeMedia, monkeypatch: pytest.MonkeyPatch):
    real = MediaServer.json

    async def lost(self: MediaServer, ask: Ask) -> dict[str, Any]:
        await real(self, ask)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(MediaServer, "json", lost)
        with pytest.raises(asyncio.CancelledError):
            await generate_video(ctx, "waves", output="v.mp4")

    await generate_video(ctx, "waves", output="v.mp4")

    assert len(media.fields("videos")) == 2
    assert len(media.jobs) == 1


async def test_a_job_that_failed_is_begun_anew_the_next_time(ctx: Any, media: FakeMedia):
    media.faults = [Fault("video_1", 200, {"status": "failed", "error": {"message": "too dark"}})]
    with pytest.raises(ToolFailure, match="too dark"):
        await generate_video(ctx, "waves", output="v.mp4")

    await generate_video(ctx, "waves", output="v.mp4")
    assert len(media.jobs) == 2


async def test_other_words_begin_another_job(ctx: Any, media: FakeMedia):
    await generate_video(ctx, "waves", output="v.mp4")
    await generate_video(ctx, "fire", output="v.mp4")
    assert len(media.jobs) == 2


def test_prices_come_from_the_settings_and_are_reserved_before():
    image, video = spec_of(generate_image), spec_of(generate_video)
    assert image is not None
    assert video is not None
    assert image.price({}, {"prompt": "x"}) == 0.05
    assert image.price({"price_image": "0"}, {}) == 0.0
    assert video.price({"price_video_second": "0.5"}, {"seconds": 2.5}) == 1.5
    assert (image.effect, image.egress, image.untrusted) == ("read", ("prompt",), False)


async def test_without_a_server_the_way_on_is_said(host_ctx: Any):
    with pytest.raises(ToolFailure, match="No media server") as failed:
        await generate_image(host_ctx, "x")
    assert "draw_storyboard" in failed.value.hint
    found = media_ready(host_ctx).value
    assert (found["images"], found["videos"]) == (False, False)


def test_a_dash_says_that_the_server_makes_no_videos(host_ctx: Any):
    host_ctx.settings |= {"url": "http://localhost:9/v1", "video_model": "-"}
    found = media_ready(host_ctx).value
    assert (found["images"], found["videos"]) == (True, False)


@pytest.mark.parametrize("url", ["ftp://x", "no address", "http://a:b@c/v1", "http://[", "http://h/v1?x=1"])
def test_an_address_that_is_none_is_refused(url: str):
    with pytest.raises(ToolFailure, match=r"plugins\.media"):
        checked_url(url)


async def test_a_path_outside_is_refused(ctx: Any, tmp_path: Path):
    with pytest.raises(ToolFailure, match="outside the workspace"):
        await generate_image(ctx, "x", output="../a.png")


async def test_what_is_there_already_is_not_paid_for_again(ctx: Any, media: FakeMedia):
    for _ in range(2):
        picture = await generate_image(ctx, "waves", output="a.png", keep=True)
        video = await generate_video(ctx, "waves", image="a.png", output="v.mp4", keep=True)

    assert (picture.cost, video.cost, picture.files, video.files) == (0.0, 0.0, ("a.png",), ("v.mp4",))
    assert (len(media.fields("images/generations")), len(media.jobs)) == (1, 1)
    assert (await generate_image(ctx, "fire", output="a.png", keep=True)).cost == 0.03
    assert (await generate_video(ctx, "waves", image="a.png", output="v.mp4", keep=True)).cost > 0
    (ctx.workdir / "a.png").unlink()
    assert (await generate_image(ctx, "fire", output="a.png", keep=True)).cost == 0.03
