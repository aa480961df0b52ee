"""Pictures and videos: made by a media server of the owner's, or drawn here as storyboards.

Any server that speaks OpenAI's interface for images and videos will do::

    [plugins.media]
    url = "https://api.openai.com/v1"
    image_model = "gpt-image-1"
    video_model = "sora-2"
    price_image = "0.05"          # US dollars that one picture costs at most; reserved before, so that budgets hold
    price_video_second = "0.10"

    [secrets]
    media_key = "…"               # where the server wants one

Without a server `draw_storyboard` and `make_animatic` need nothing but this machine. What is sent goes to that one
server, which the owner has set; pictures that come back are decoded inside the sandbox only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from plugins.api import Context, Field, File, Form, Output, Plugin, ToolFailure, tool
from plugins.media.made import digest, is_made, note_made
from plugins.media.pictures import keep_picture, looked_at, picture_bytes
from plugins.media.videos import read_note, write_note

# found by name, inside the sandbox
__all__ = ["is_made", "keep_picture", "looked_at", "note_made", "picture_bytes", "read_note", "write_note"]

plugin = Plugin(
    summary="Pictures and videos by an OpenAI-compatible media server; storyboards and animatics drawn here.",
    settings={
        "url": "Address of the media server, such as https://api.openai.com/v1; none unless set.",
        "image_model": "Model for pictures; gpt-image-1 unless set. A dash says that the server makes no pictures.",
        "video_model": "Model for videos; sora-2 unless set. A dash says that the server makes no videos.",
        "price_image": "US dollars that one picture costs at most; 0.05 unless set, 0 for a server of your own.",
        "price_video_second": "US dollars that one second of video costs at most; 0.10 unless set.",
    },
    ui=(Form("Make a picture", "generate_image", (Field("prompt", "What shall it show?"),)),),
)

SECRETS = ("media_key",)
PICTURE = (".png", ".jpg", ".jpeg", ".webp")
MAX_PROMPT = 8_000
MAX_SHOTS = 300
SIZE = "1536x1024"
VIDEO_SIZE = "1280x720"
Picture = Annotated[str, File(*PICTURE)]


def image_price(settings: Mapping[str, str], arguments: Mapping[str, Any]) -> float:
    """Return what one picture costs at most, in US dollars. Raises ValueError for a price that is none."""
    del arguments
    return _price(settings, "price_image", 0.05)


def video_price(settings: Mapping[str, str], arguments: Mapping[str, Any]) -> float:
    """Return what a video costs at most, in US dollars. Raises ValueError for a price that is none."""
    return _price(settings, "price_video_second", 0.10) * whole_seconds(float(arguments.get("seconds") or 4))


def _price(settings: Mapping[str, str], name: str, default: float) -> float:
    text = settings.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise ValueError(f"[plugins.media] {name} is {text!r}, which is no number of US dollars") from None


def whole_seconds(seconds: float) -> int:
    """Return the seconds to ask a server for: whole ones, at least as long as wanted."""
    return max(1, -int(-seconds // 1))


@tool(
    host=True,
    effect="read",
    egress=("prompt",),
    confides=True,
    content_args=("prompt",),
    secrets=SECRETS,
    timeout=300,
    cost=image_price,
    produces=(".png",),
    examples=("generate an image of {prompt}", "generate a picture of {prompt}", "make a picture of {prompt}"),
)
async def generate_image(
    ctx: Context, prompt: str, *, size: str = SIZE, output: str = "picture.png", keep: bool = False
) -> Output:
    """Make a picture from words with the media server that the owner has set; it costs money.

    With `keep` a picture that is there already, made from the same words, stays as it is and costs nothing.
    """
    from plugins.media.endpoint import Ask

    fields = {"model": _model(ctx, "image_model"), "prompt": _prompt(prompt), "size": size, "n": 1}
    wanted = digest(fields)
    if keep and await ctx.inside(is_made, path=output, wanted=wanted):
        return _there(ctx, output, {"path": output})
    async with _server(ctx) as server:
        ctx.progress(f"drawing at {server.host}")
        data = await server.image(Ask("make the picture", "POST", "images/generations", fields))
    kept = await _kept(ctx, data, output, _cost(ctx))
    await ctx.inside(note_made, path=output, wanted=wanted)
    return kept


@tool(
    host=True,
    effect="read",
    egress=("prompt", "image"),
    confides=True,
    content_args=("prompt",),
    secrets=SECRETS,
    timeout=300,
    cost=image_price,
    produces=(".png",),
    examples=("edit the picture {image}: {prompt}",),
)
async def edit_image(
    ctx: Context, image: Picture, prompt: str, *, output: str = "", mask: Picture | None = None, size: str = SIZE
) -> Output:
    """Change a picture by words with the media server; `mask` is transparent where it may change. It costs money."""
    import base64

    from plugins.media.endpoint import Ask, Part

    parts = [Part("image", "image.png", base64.b64decode(await ctx.inside(picture_bytes, path=image)))]
    if mask:
        parts.append(Part("mask", "mask.png", base64.b64decode(await ctx.inside(picture_bytes, path=mask))))
    async with _server(ctx) as server:
        ctx.progress(f"editing at {server.host}")
        fields = {"model": _model(ctx, "image_model"), "prompt": _prompt(prompt), "size": size, "n": 1}
        data = await server.image(Ask("edit the picture", "POST", "images/edits", fields, tuple(parts)))
    return await _kept(ctx, data, output or _beside(image, "-edited.png"), _cost(ctx))


@tool(
    host=True,
    effect="read",
    egress=("prompt", "image"),
    confides=True,
    content_args=("prompt",),
    secrets=SECRETS,
    timeout=1_800,
    cost=video_price,
    produces=(".mp4",),
    examples=("generate a video of {prompt}", "make a video of {prompt}"),
)
async def generate_video(
    ctx: Context,
    prompt: str,
    *,
    seconds: float = 4,
    size: str = VIDEO_SIZE,
    image: Picture | None = None,
    output: str = "video.mp4",
    keep: bool = False,
) -> Output:
    """Make a video from words, and from a first picture if given, with the media server; it costs money.

    What is run again after a crash goes on waiting for the job that was begun, and pays nothing twice. With `keep` a
    video that is there already, made from the same words and picture, stays as it is and costs nothing.
    """
    from plugins.media import videos

    if not 0 < seconds <= 120:
        raise ToolFailure(f"A video of {seconds:g} seconds can't be made.", hint="Between 1 and 120 are possible.")
    whole = whole_seconds(seconds)
    fields = {
        "model": _model(ctx, "video_model"),
        "prompt": _prompt(prompt),
        "seconds": str(whole),
        "size": size,
    }
    picture = await ctx.inside(picture_bytes, path=image) if image else ""
    wanted = digest(fields, picture.encode())
    if keep and await ctx.inside(is_made, path=output, wanted=wanted):
        return _there(ctx, output, {"path": output, "seconds": whole})
    async with _server(ctx) as server:
        made = await videos.make(ctx, server, fields, picture, output)
    saved = await ctx.save(output, made)
    await ctx.inside(note_made, path=output, wanted=wanted)
    await videos.forget(ctx, output)
    cost = video_price(ctx.settings, {"seconds": seconds})
    return Output({"path": saved, "seconds": whole}, f"{saved}: a video of {whole} s.", files=(saved,), cost=cost)


@tool(host=True, effect="pure", produces=("text",), examples=("which media can you make",))
def media_ready(ctx: Context) -> Output:
    """Say whether a media server makes pictures and videos here, at which prices, and whether MP4 files can be made."""
    from plugins.media.animatic import can_film

    there = bool(ctx.settings.get("url", "").strip())
    found = {
        "images": there and ctx.settings.get("image_model", "") != "-",
        "videos": there and ctx.settings.get("video_model", "") != "-",
        "mp4": can_film(),
        "price_image": image_price(ctx.settings, {}),
        "price_video_second": video_price(ctx.settings, {"seconds": 1}),
    }
    if not there:
        return Output(found, "No media server is set up: storyboards are drawn here, which costs nothing.")
    made = " and ".join(name for name in ("images", "videos") if found[name]) or "nothing"
    text = f"The media server makes {made}: {found['price_image']:g} USD a picture, "
    return Output(found, f"{text}{found['price_video_second']:g} USD a second of video.")


@tool(effect="write_inside", timeout=300, produces=(".png",), examples=("draw a storyboard frame of {description}",))
def draw_frame(
    description: str,
    *,
    number: str = "1",
    heading: str = "",
    size: str = "",
    camera: str = "",
    dialogue: str = "",
    seconds: float = 3,
    characters: list[str] | None = None,
    output: str = "frame.png",
) -> Output:
    """Draw one storyboard picture (16:9) of a shot from its words: place, time of day, people, framing.

    `heading` is like `EXT. BEACH - NIGHT`, `size` like `close-up`, `camera` like `slow push in`.
    """
    from plugins.files.paths import new_path
    from plugins.media import frames
    from plugins.media.shots import Shot

    shot = Shot.of(
        {
            "number": number,
            "description": description,
            "heading": heading,
            "size": size,
            "camera": camera,
            "dialogue": dialogue,
            "seconds": seconds,
            "characters": characters,
        }
    )
    target = new_path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    frames.picture(shot).save(target)
    return Output({"path": str(target)}, f"{target}: shot {shot.number}.", files=(str(target),))


@tool(
    effect="write_inside",
    timeout=600,
    produces=(".png",),
    examples=("draw a storyboard of {shots}",),
)
def draw_storyboard(
    shots: list[dict[str, Any]], folder: str = "storyboard", title: str = "", pictures: list[str] | None = None
) -> Output:
    """Draw a storyboard: a card for each shot, and a sheet with all of them.

    A shot is a record with `description`, and if wanted `number`, `heading` (`EXT. BEACH - NIGHT`), `size`, `camera`,
    `dialogue`, `seconds`, `characters`. `pictures` are ready ones, in the same order, to be put on the cards.
    """
    from plugins.files.paths import new_path
    from plugins.media import boards

    path, text, value = boards.draw(shots, new_path(folder), title, pictures or [])
    return Output(value, text, files=(path,))


@tool(effect="write_inside", timeout=900, produces=(".gif", ".mp4"), examples=("make an animatic of {pictures}",))
def make_animatic(
    pictures: list[str],
    *,
    seconds: list[float] | None = None,
    captions: list[str] | None = None,
    title: str = "",
    credits_text: str = "",
    output: str = "animatic.gif",
    marks: bool = True,
) -> Output:
    """Make a film of pictures (or of .mp4 clips), each as long as its entry in `seconds`, with title and captions.

    The ending of `output` says what it is: a GIF, or an MP4 where that can be made. `marks` numbers the shots.
    """
    from plugins.files.paths import new_path
    from plugins.media import boards

    if not pictures:
        raise ToolFailure("There is no picture to make a film of.", hint="Give at least one.")
    film = boards.Film(tuple(pictures), tuple(seconds or ()), tuple(captions or ()), title, credits_text, marks=marks)
    target = new_path(output)
    lasting = film.write(target)
    value = {"path": str(target), "seconds": round(lasting, 2), "shots": len(pictures)}
    return Output(value, f"{target}: {len(pictures)} shots, {lasting:.0f} s.", files=(str(target),))


@tool(effect="write_inside", timeout=300, produces=("table",), examples=("check the pictures {pictures}",))
def check_pictures(pictures: list[str]) -> Output:
    """Look for what is wrong with pictures: black, white, flat, blurred, too small, not wide."""
    found = [looked_at(path) for path in pictures]
    wrong = [f"{one['path']}: {', '.join(one['problems'])}" for one in found if one["problems"]]
    text = "\n".join(wrong) if wrong else f"{len(found)} pictures, nothing wrong with them."
    return Output({"ok": not wrong, "pictures": found, "problems": wrong}, text)


# --- the server ---------------------------------------------------------------------------------------------------
def _server(ctx: Context) -> Any:
    from plugins.media.endpoint import MediaServer

    try:
        key = ctx.secret("media_key")
    except ToolFailure:
        key = ""  # servers of one's own often want none
    return MediaServer(ctx.settings.get("url", ""), key)


def _model(ctx: Context, setting: str) -> str:
    model = ctx.settings.get(setting, "").strip() or {"image_model": "gpt-image-1", "video_model": "sora-2"}[setting]
    if model == "-":
        kind = "pictures" if setting == "image_model" else "videos"
        raise ToolFailure(f"The media server makes no {kind}.", hint=f"[plugins.media] {setting} names the model.")
    return model


def _prompt(prompt: str) -> str:
    if not prompt.strip():
        raise ToolFailure("There is nothing to draw.", hint="Say what it shall show.")
    if len(prompt) > MAX_PROMPT:
        raise ToolFailure(f"The prompt has {len(prompt):,} characters; {MAX_PROMPT:,} are possible.")
    return prompt.strip()


def _cost(ctx: Context) -> float:
    return image_price(ctx.settings, {})


async def _kept(ctx: Context, data: str, output: str, cost: float) -> Output:
    kept = await ctx.inside(keep_picture, data=data, output=output)
    path = ctx.artifact(str(kept["path"]))
    text = f"{path}: a picture of {kept['width']} × {kept['height']}."
    return Output({**kept, "path": path}, text, files=(path,), cost=cost)


def _there(ctx: Context, output: str, value: dict[str, Any]) -> Output:
    path = ctx.artifact(output)
    return Output(value, f"{path} is there already.", files=(path,), cost=0.0)


def _beside(path: str, ending: str) -> str:
    return str(Path(path).with_name(Path(path).stem + ending))
