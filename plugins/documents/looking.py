"""Pictures made ready for a model that looks at them: inside the walls, because a picture may be an attack."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.api import ToolFailure

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 1568
MOST_BYTES = 1 << 20
MOST_PIXELS = 80_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
QUALITIES = (88, 75, 60, 40)


def made_ready(path: str) -> dict[str, Any]:
    """Return a picture as {"data": a JPEG in base64, "width", "height"}: small, upright, without the camera's data.

    Neither side is longer than 1568 pixels, and the file has at most 1 MB; of a moving picture it is the first frame.
    """
    image = _opened(Path(path))
    for quality in QUALITIES:
        held = io.BytesIO()
        image.save(held, "JPEG", quality=quality, optimize=True)
        if held.tell() <= MOST_BYTES or quality == QUALITIES[-1]:
            break
    return {"data": base64.b64encode(held.getvalue()).decode(), "width": image.width, "height": image.height}


def _opened(path: Path) -> Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                size = f"{opened.width:,} × {opened.height:,}"
                raise ToolFailure(f"'{path}' has {size} pixels, which is too many.", hint="Send a smaller picture.")
            opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            ground = Image.new("RGBA", upright.size, "white")  # what shines through is white, not black
            return Image.alpha_composite(ground, upright.convert("RGBA")).convert("RGB")
    except FileNotFoundError as problem:
        raise ToolFailure(f"There is no picture '{path}'.") from problem
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as problem:
        raise ToolFailure(f"'{path}' can't be read as a picture.", hint="Send it as JPEG or PNG.") from problem
