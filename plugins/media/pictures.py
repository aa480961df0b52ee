"""What is done with pictures inside the sandbox: bytes that others made are decoded only there."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.files.paths import existing, new_path

MOST_PIXELS = 50_000_000
MOST_BYTES = 2_600_000
SIDES = (1536, 1024, 768)
SAVED_AS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
DARK, BRIGHT, FLAT, BLURRED = 12.0, 243.0, 6.0, 1.2


def opened(path: Path) -> Any:
    """Return a picture of the workspace, decoded, as RGB. Raises ToolFailure for what is none, or too large."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ToolFailure(f"{path} has {image.width} × {image.height} pixels, which is more than is read.")
            image.load()
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise ToolFailure(f"{path} can't be read as a picture.", hint="Make it again, or name another.") from problem


def keep_picture(data: str, output: str) -> dict[str, Any]:
    """Write a picture that came as base64 into the workspace, in the format of its name; return its size."""
    target = new_path(output)
    kind = SAVED_AS.get(target.suffix.lower())
    if kind is None:
        raise ToolFailure(f"{output} can't be written.", hint="Pictures end in .png, .jpg or .webp.")
    raw = Path(f"{target}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        raw.write_bytes(base64.b64decode(data, validate=False))
        image = opened(raw)
        image.save(raw, kind)
        raw.replace(target)
    finally:
        raw.unlink(missing_ok=True)
    return {"path": str(target), "width": image.width, "height": image.height}


def picture_bytes(path: str) -> str:
    """Return a picture of the workspace as base64 of a PNG that is small enough to be sent."""
    from PIL import Image

    image = opened(existing(path))
    for side in SIDES:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "PNG")
        if buffer.tell() <= MOST_BYTES:
            break
    return base64.b64encode(buffer.getvalue()).decode()


def looked_at(path: str) -> dict[str, Any]:
    """Measure a picture: size, brightness, the spread of its colours (0 to 255), how sharp it is, what is wrong."""
    from PIL import ImageFilter, ImageStat

    image = opened(existing(path))
    grey = image.convert("L")
    whole, edges = ImageStat.Stat(grey), ImageStat.Stat(grey.filter(ImageFilter.FIND_EDGES))
    bright, spread, sharp = whole.mean[0], max(ImageStat.Stat(image).stddev), edges.mean[0]
    shape = image.width / image.height
    problems = [
        said
        for wrong, said in (
            (bright < DARK, "it is almost black"),
            (bright > BRIGHT, "it is almost white"),
            (spread < FLAT, "it is one flat colour"),
            (sharp < BLURRED and spread >= FLAT, "it has no sharp edge"),
            (min(image.size) < 256, "it is smaller than 256 pixels"),
            (not 1.2 < shape < 2.4, "it is no wide picture"),
        )
        if wrong
    ]
    small = image.resize((16, 9)).getcolors(144) or []
    tone = [round(sum(count * colour[part] for count, colour in small) / 144) for part in range(3)]
    return {
        "path": path,
        "width": image.width,
        "height": image.height,
        "brightness": round(bright, 1),
        "contrast": round(spread, 1),
        "sharpness": round(sharp, 2),
        "tone": tone,
        "problems": problems,
    }
