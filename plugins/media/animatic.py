"""Pictures one after the other, each as long as its shot: a GIF, or an MP4 where the library `av` is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.api import ToolFailure

if TYPE_CHECKING:
    from PIL.Image import Image

SMALL = (800, 450)
FILM = (1280, 720)
RATE = 24
MOST_SECONDS = 1_200.0
INSTALL = "`pip install 'dirigent[film]'` adds what MP4 needs; without it, name a .gif."


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and how long it is shown. `clip` is a film of its own that takes the picture's place."""

    picture: Image
    seconds: float
    clip: Path | None = None


def can_film() -> bool:
    """Say whether MP4 files can be made and joined here."""
    return importlib.util.find_spec("av") is not None


def write(scenes: Sequence[Scene], output: Path) -> float:
    """Write the film and return its length in seconds. Raises ToolFailure for an ending that can't be made."""
    total = sum(scene.seconds for scene in scenes)
    if not scenes:
        raise ToolFailure("There is no picture to make a film of.", hint="Give at least one.")
    if total > MOST_SECONDS:
        raise ToolFailure(f"The film would last {total:.0f} s; at most {MOST_SECONDS:.0f} s are made.")
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix.lower() == ".gif":
        _gif(scenes, output)
    elif output.suffix.lower() == ".mp4":
        if not can_film():
            raise ToolFailure("MP4 files can't be made here.", hint=INSTALL)
        total = _mp4(scenes, output)
    else:
        raise ToolFailure(f"{output.name} is neither a .gif nor an .mp4.", hint="Name one of these.")
    return total


def _gif(scenes: Sequence[Scene], output: Path) -> None:
    from PIL import Image

    small = [scene.picture.convert("RGB").resize(SMALL, Image.Resampling.LANCZOS) for scene in scenes]
    drawn = [one.quantize(192, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG) for one in small]
    lasting = [max(20, round(scene.seconds * 1000)) for scene in scenes]
    drawn[0].save(output, save_all=True, append_images=drawn[1:], duration=lasting, loop=0, optimize=False)


def _mp4(scenes: Sequence[Scene], output: Path) -> float:
    av = _library()
    frames = 0
    with av.open(str(output), "w", options={"movflags": "faststart"}) as film:
        stream: Any = film.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=RATE)
        stream.width, stream.height = FILM
        stream.pix_fmt = "yuv420p"
        for scene in scenes:
            for image in _moving(scene):
                for packet in stream.encode(av.VideoFrame.from_image(image)):
                    film.mux(packet)
                frames += 1
        for packet in stream.encode():
            film.mux(packet)
    return frames / RATE


def _moving(scene: Scene) -> Iterator[Image]:
    if scene.clip is not None:
        yield from _frames_of(scene.clip)
        return
    from plugins.media.frames import fitted

    still = fitted(scene.picture, *FILM)
    for _ in range(max(1, round(scene.seconds * RATE))):
        yield still


def _frames_of(clip: Path) -> Iterator[Image]:
    """Yield a clip's pictures at our rate and size, with its own timing."""
    from plugins.media.frames import fitted

    av = _library()
    due = 0.0
    try:
        with av.open(str(clip)) as film:
            for frame in film.decode(video=0):
                now = float(frame.time or 0.0)
                if now + 1e-6 < due:
                    continue
                picture = fitted(frame.to_image(), *FILM)
                while due <= now + 1e-6:
                    yield picture
                    due += 1 / RATE
    except av.error.FFmpegError as problem:
        raise ToolFailure(f"{clip} can't be read as a video: {problem}", hint="Make it again.") from problem


def _library() -> Any:
    return importlib.import_module("av")  # an extra, and only half of it is typed
