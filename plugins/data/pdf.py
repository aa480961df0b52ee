"""Markdown as PDF, with fpdf2 and the DejaVu fonts (which come with matplotlib and know most alphabets)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from plugins.data.html import is_number, parser

if TYPE_CHECKING:
    from fpdf import FPDF

SANS, MONO, FAR = "sans", "mono", "far"
INK, QUIET, SOFT, LINK = (31, 41, 51), (107, 114, 128), (246, 247, 249), (0, 114, 178)
SIZES = {"h1": 17.0, "h2": 14.0, "h3": 12.0, "h4": 11.0, "h5": 10.5, "h6": 10.5}
BODY, LINE = 10.5, 5.4
_FAR_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
)


def write(target: Path, title: str, markdown: str, pictures: dict[str, Path]) -> tuple[int, list[str]]:
    """Write the PDF; return its pages and the characters that no font here can show."""
    text, missing = _showable(markdown)
    page = _Page(pictures)
    page.title(_showable(title)[0])
    page.blocks(parser().parse(text))
    page.pdf.output(str(target))
    return page.pdf.pages_count, missing


def _fonts() -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf"


def _far_font() -> Path | None:
    """Return a font for Chinese, Japanese and Korean, if the system has one."""
    for folder in (Path("/usr/share/fonts"), Path("/usr/local/share/fonts")):
        for name in _FAR_FONTS:
            found = next(folder.rglob(name), None) if folder.is_dir() else None
            if found:
                return found
    return None


def _showable(text: str) -> tuple[str, list[str]]:
    """Replace what no font has by a box, so that a page never fails on an emoji; return what was replaced."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    if text.isascii():
        return text, []
    known = set(TTFont(_fonts() / "DejaVuSans.ttf").getBestCmap())
    far = _far_font()
    if far:
        known |= set(TTFont(far, fontNumber=0).getBestCmap())
    missing = {char for char in text if ord(char) > 126 and ord(char) not in known}
    silent = {"\ufe0f", "\u200d", "\u200b"}
    shown = text.translate({ord(char): "" if char in silent else "□" for char in missing})
    return shown, sorted(missing - silent)


def _document() -> FPDF:
    from fpdf import FPDF

    class Document(FPDF):
        """A page with its number at the foot."""

        def footer(self) -> None:
            self.set_y(-14)
            self.set_font(SANS, size=8.5)
            self.set_text_color(*QUIET)
            self.cell(0, 8, f"{self.page_no()} / {{nb}}", align="R")

    pdf = Document(format="A4")
    pdf.set_margins(20, 18, 20)
    pdf.set_auto_page_break(True, margin=20)
    for style, file in (
        ("", "DejaVuSans"),
        ("B", "DejaVuSans-Bold"),
        ("I", "DejaVuSans-Oblique"),
        ("BI", "DejaVuSans-BoldOblique"),
    ):
        pdf.add_font(SANS, style, str(_fonts() / f"{file}.ttf"))
    pdf.add_font(MONO, "", str(_fonts() / "DejaVuSansMono.ttf"))
    far = _far_font()
    if far:
        pdf.add_font(FAR, "", str(far))
        pdf.set_fallback_fonts([FAR], exact_match=False)
    return pdf


class _Page:
    """Walks through Markdown's tokens and writes them down. Lengths are millimetres, font sizes points."""

    def __init__(self, pictures: dict[str, Path]) -> None:
        self.pdf = _document()
        self.pdf.add_page()
        self.pictures = pictures
        self.indent = 0.0
        self.markers: list[int | None] = []
        self.quotes = 0

    def title(self, text: str) -> None:
        """Write the report's title."""
        self.pdf.set_title(text)
        self._font(22, "B")
        self.pdf.multi_cell(0, 10, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(4)

    def blocks(self, tokens: list[Any]) -> None:
        """Write blocks one after the other."""
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.type == "table_open":
                end = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
                self._table(tokens[index:end])
                index = end
            else:
                self._block(token, tokens[index + 1] if index + 1 < len(tokens) else None)
            index += 1

    def _block(self, token: Any, following: Any) -> None:
        if token.type == "heading_open":
            self._heading(token.tag, following)
        elif token.type == "inline" and token.level and not token.meta.get("done"):
            self._paragraph(token)
        elif token.type in {"bullet_list_open", "ordered_list_open", "blockquote_open"}:
            self._open(token)
        elif token.type in {"bullet_list_close", "ordered_list_close", "blockquote_close"}:
            self._close(token)
        elif token.type == "list_item_open":
            self._marker()
        elif token.type in {"fence", "code_block"}:
            self._code(token.content)
        elif token.type == "hr":
            self.pdf.set_draw_color(*QUIET)
            self.pdf.line(20, self.pdf.y + 2, 190, self.pdf.y + 2)
            self.pdf.ln(6)

    def _font(self, size: float, style: str = "", family: str = SANS, colour: tuple[int, int, int] = INK) -> None:
        self.pdf.set_font(family, style, size)
        self.pdf.set_text_color(*colour)

    def _heading(self, tag: str, inline: Any) -> None:
        inline.meta["done"] = True
        size = SIZES[tag]
        if self.pdf.will_page_break(size + 18):
            self.pdf.add_page()
        self.pdf.ln(3)
        self._font(size, "B")
        self.pdf.multi_cell(0, size * 0.47, _text(inline), align="L", new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(1.5)

    def _open(self, token: Any) -> None:
        if token.type == "blockquote_open":
            self.quotes += 1
        else:
            self.markers.append(int(token.attrs.get("start", 1)) if token.type == "ordered_list_open" else None)
        self._indent(6.0)

    def _close(self, token: Any) -> None:
        if token.type == "blockquote_close":
            self.quotes -= 1
        else:
            self.markers.pop()
        self._indent(-6.0)
        if not self.markers and not self.quotes:
            self.pdf.ln(2)

    def _indent(self, by: float) -> None:
        self.indent += by
        self.pdf.set_left_margin(20 + self.indent)
        self.pdf.set_x(20 + self.indent)

    def _marker(self) -> None:
        self._font(BODY)
        number = self.markers[-1]
        if self.pdf.will_page_break(LINE):
            self.pdf.add_page()
        self.pdf.set_x(20 + self.indent - 5)
        self.pdf.cell(5, LINE, "•" if number is None else f"{number}.")
        if number is not None:
            self.markers[-1] = number + 1
        self.pdf.set_x(20 + self.indent)

    def _paragraph(self, inline: Any) -> None:
        strong = slanted = 0
        link = ""
        for child in inline.children:
            strong += {"strong_open": 1, "strong_close": -1}.get(child.type, 0)
            slanted += {"em_open": 1, "em_close": -1}.get(child.type, 0)
            if child.type in {"link_open", "link_close"}:
                link = str(child.attrs.get("href", ""))
            style = ("B" if strong else "") + ("I" if slanted else "")
            if child.type == "image":
                self._picture(child)
            elif child.type == "code_inline":
                self._font(BODY - 0.8, family=MONO)
                self.pdf.write(LINE, child.content)
            elif child.type in {"text", "softbreak", "hardbreak"}:
                self._font(BODY, style, colour=LINK if link else QUIET if self.quotes else INK)
                self.pdf.write(LINE, {"softbreak": " ", "hardbreak": "\n"}.get(child.type, child.content), _web(link))
        if [child.type for child in inline.children] == ["image"]:
            self.pdf.ln(2.5)
        else:
            self.pdf.ln(LINE + (0.5 if self.markers else 2.5))

    def _picture(self, child: Any) -> None:
        path = self.pictures.get(unquote(str(child.attrs["src"])))
        if path is None:
            self.pdf.write(LINE, f"[{child.content}]")
            return
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                across, down = image.size
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
            self.pdf.write(LINE, f"[{child.content}: no readable picture]")
            return
        width = min(170 - self.indent, across * 0.2646)
        height = min(width * down / across, 225.0)
        width = height * across / down
        if self.pdf.will_page_break(height):
            self.pdf.add_page()
        self.pdf.image(str(path), w=width, h=height, alt_text=child.content or None)
        self.pdf.ln(1)

    def _code(self, text: str) -> None:
        self._font(9, family=MONO)
        self.pdf.set_fill_color(*SOFT)
        self.pdf.multi_cell(0, 4.6, text.rstrip("\n"), fill=True, align="L", new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(3)

    def _table(self, tokens: list[Any]) -> None:
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_text(token))
        from fpdf.fonts import FontFace

        size = 9.5 if len(rows[0]) <= 6 else 8.0 if len(rows[0]) <= 10 else 6.5
        self._font(size)
        self.pdf.set_draw_color(*QUIET)
        numeric = [all(is_number(row[i]) or not row[i] for row in rows[1:]) for i in range(len(rows[0]))]
        with self.pdf.table(
            borders_layout="HORIZONTAL_LINES",
            headings_style=FontFace(emphasis="BOLD", fill_color=SOFT),
            line_height=size * 0.55,
            col_widths=_widths(rows),
            text_align=tuple("RIGHT" if number else "LEFT" for number in numeric),
            padding=1,
        ) as table:
            for row in rows:
                table.row(row)
        self.pdf.ln(4)


def _widths(rows: list[list[str]]) -> tuple[int, ...]:
    """Columns get room by their longest cell, within bounds, and for the longest word of their head."""
    heads = [max((len(word) for word in head.split()), default=0) + 2 for head in rows[0]]
    return tuple(max(6, head, min(36, max(len(row[i]) for row in rows))) for i, head in enumerate(heads))


def _text(inline: Any) -> str:
    return "".join(" " if child.type == "softbreak" else child.content for child in inline.children or ())


def _web(link: str) -> str:
    return link if link.startswith(("https://", "http://", "mailto:")) else ""
