"""How charts look: fonts, colours, sizes, numbers on axes."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from plugins.data.wording import PREFIXED

SIZE = (8.0, 5.0)
DPI = 160
INK = "#1f2933"
QUIET = "#6b7280"
GRID = "#e5e7eb"
# Okabe and Ito's palette, which people with any colour vision can tell apart, without its yellow (too pale on white).
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A7A7A")
ACCENT = "#0072B2"
PALE = "#9cc3dd"
REST = "#c4c9d0"
_FONTS = ("Inter", "Source Sans 3", "Open Sans", "Noto Sans", "Liberation Sans", "DejaVu Sans")
_FALLBACKS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Symbola",
)


def style() -> dict[str, Any]:
    """Return the settings of matplotlib for all charts."""
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    fonts = [font for font in _FONTS if font in there][:1] + [font for font in _FALLBACKS if font in there]
    return {
        "font.family": list(dict.fromkeys(fonts)),
        "font.size": 10.5,
        "text.color": INK,
        "text.parse_math": False,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": QUIET,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": GRID,
        "grid.linewidth": 0.9,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "ytick.major.size": 0,
        "xtick.major.size": 3,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "legend.frameon": False,
        "lines.solid_capstyle": "round",
        "axes.unicode_minus": True,
    }


def short(value: float, unit: str = "") -> str:
    """Return a number in three digits, as axes and labels show it: `950`, `12.5k`, `€1.2M`."""
    value = float(value)
    rounded = abs(_three_digits(value))
    power, letter = next(
        ((p, c) for p, c in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")) if rounded >= p), (1.0, "")
    )
    power = 1e3 if letter == "k" else power
    number = _three_digits(value / power) if letter or abs(value) < 1000 else round(value)
    text = f"{abs(Decimal(repr(number)).normalize()):,f}{letter}"
    minus = "−" if value < 0 else ""
    return f"{minus}{unit}{text}" if unit in PREFIXED else f"{minus}{text} {unit}".strip()


def _three_digits(value: float) -> float:
    return 0.0 if value == 0 else round(value, 2 - math.floor(math.log10(abs(value))))


def axis_number(unit: str) -> Any:
    """Return the formatter of a number axis."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _position: short(value, unit))


def heading(figure: Any, title: str, subtitle: str) -> None:
    """Set the title and the line below it, left-aligned with the whole picture."""
    size = 15 if len(title) <= 58 else 12.5
    figure.text(0.03, 0.955, _cut(title, 84), fontsize=size, fontweight="bold", va="top", ha="left")
    figure.text(0.03, 0.893, _cut(subtitle, 118), fontsize=9.5, color=QUIET, va="top", ha="left")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def label(text: str, most: int = 26) -> str:
    """Return a category's name, cut where it would push the chart aside."""
    return _cut(" ".join(text.split()), most)
