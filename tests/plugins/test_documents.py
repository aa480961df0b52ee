"""Documents of every kind, whole and broken, are read or refused with the way on."""

import email.message
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.api import ToolFailure, spec_of
from plugins.documents import extract_text, pictures


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_pdf(name: str, *pages: str, password: str = "") -> None:
    from fpdf import FPDF

    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    for text in pages:
        pdf.add_page()
        if text:
            pdf.multi_cell(0, 8, text)
    if password:
        pdf.set_encryption("owner", password)
    pdf.output(name)


def write_docx(name: str) -> None:
    from docx import Document

    document = Document()
    document.add_heading("Minutes", 1)
    document.add_paragraph("We met on Monday.")
    document.add_paragraph("Buy tea", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [cell for row in table.rows for cell in row.cells], ["who", "what", "Ada", "a|b"], strict=True
    ):
        cell.text = text
    document.add_paragraph("The end.")
    document.save(name)


def write_pptx(name: str) -> None:
    from pptx import Presentation

    deck = Presentation()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Topic {number}"
        slide.placeholders[1].text = f"Point {number}"
    deck.slides[1].notes_slide.notes_text_frame.text = "Speak slowly"
    deck.save(name)


def write_xlsx(name: str) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Prices"
    book.active.append(["item", "price"])
    book.active.append(["tea", 3])
    book.create_sheet("Empty")
    book.create_sheet("Stock").append(["shelf", 7.5])
    book.save(name)


def write_mail(name: str) -> None:
    message = email.message.EmailMessage()
    message["From"] = "Ada <ada@example.org>"
    message["Subject"] = "Grüße"
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0100"
    message.set_content("See you at eight.")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="plan.pdf")
    Path(name).write_bytes(bytes(message))


def test_every_page_of_a_pdf_is_a_part_of_its_own() -> None:
    write_pdf("a.pdf", "First page", "Second page", "Third page")
    answer = extract_text("a.pdf")
    assert answer.value["parts"] == ["Page 1", "Page 2", "Page 3"]
    assert "## Page 2\n\nSecond page" in answer.value["text"]
    assert not answer.partial


def test_pages_are_chosen_by_number_and_range() -> None:
    write_pdf("a.pdf", *[f"Text {n}" for n in range(1, 7)])
    assert extract_text("a.pdf", "2, 4-5").value["parts"] == ["Page 2", "Page 4", "Page 5"]
    assert extract_text("a.pdf", "5-").value["parts"] == ["Page 5", "Page 6"]
    with pytest.raises(ToolFailure, match="has 6 pages; 9 is none of them"):
        extract_text("a.pdf", "9")
    with pytest.raises(ToolFailure, match="'last' names no pages"):
        extract_text("a.pdf", "last")


def test_a_pdf_with_a_password_says_so() -> None:
    write_pdf("secret.pdf", "hidden", password="abc")
    with pytest.raises(ToolFailure, match="protected by a password"):
        extract_text("secret.pdf")


def test_a_scanned_pdf_says_that_it_has_no_text() -> None:
    write_pdf("scan.pdf", "", "")
    with pytest.raises(ToolFailure, match="2 pages but no text: it is probably a scan"):
        extract_text("scan.pdf")


def test_pages_without_text_are_named() -> None:
    write_pdf("mixed.pdf", "words", "", "", "more", "")
    assert extract_text("mixed.pdf").value["notes"] == ["Without text (pictures or blank): page 2-3, 5."]


def test_a_word_document_keeps_its_order_and_form() -> None:
    write_docx("a.docx")
    assert extract_text("a.docx").value["text"] == (
        "# Minutes\n\nWe met on Monday.\n\n- Buy tea\n\n| who | what |\n|---|---|\n| Ada | a\\|b |\n\nThe end."
    )


def test_slides_come_with_titles_points_and_notes() -> None:
    write_pptx("a.pptx")
    text = extract_text("a.pptx", "2").value["text"]
    assert text == "## Slide 2\n\n### Topic 2\n\n- Point 2\n\n> Notes: Speak slowly"


def test_sheets_are_tables_and_can_be_chosen_by_name() -> None:
    write_xlsx("a.xlsx")
    assert extract_text("a.xlsx").value["text"].startswith("## Prices\n\n| item | price |\n|---|---|\n| tea | 3 |")
    assert extract_text("a.xlsx", "stock").value["text"] == "## Stock\n\n| shelf | 7.5 |\n|---|---|"


def test_a_mail_shows_heads_text_and_attachments() -> None:
    write_mail("a.eml")
    text = extract_text("a.eml").value["text"]
    assert "**Subject:** Grüße" in text
    assert "See you at eight." in text
    assert "**Attached:** plan.pdf" in text


def test_a_page_loses_scripts_and_keeps_its_text() -> None:
    body = "".join(f"<p>Paragraph {n} says something that is long enough to be kept.</p>" for n in range(8))
    Path("a.html").write_text(
        f"<html><head><title>News</title><script>evil()</script></head><body><h1>News</h1>{body}</body></html>"
    )
    answer = extract_text("a.html")
    assert "Paragraph 7 says" in answer.value["text"]
    assert "evil" not in answer.value["text"]
    assert answer.value["title"] == "News"


def test_a_page_without_a_main_text_is_read_as_a_whole() -> None:
    Path("a.htm").write_text("<ul><li>One</li><li>Two</li></ul>")
    assert [word for word in extract_text("a.htm").value["text"].split() if word.isalpha()] == ["One", "Two"]


def test_rtf_is_read_without_its_styles() -> None:
    Path("a.rtf").write_bytes(
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator X;}\f0 Gr\'fc\'dfe\par\b Second\b0  \u8364? line\par}"
    )
    assert extract_text("a.rtf").value["text"] == "Grüße\n\nSecond € line"


def test_latin_1_text_is_read_and_said() -> None:
    Path("a.txt").write_bytes("Die Übergröße kostet fünf Euro, schöne Grüße aus Köln.".encode("cp1252"))
    answer = extract_text("a.txt")
    assert "Übergröße" in answer.value["text"]
    assert "The file is not UTF-8" in answer.text


def test_long_text_is_cut_with_the_way_to_the_rest() -> None:
    Path("long.txt").write_text("\n\n".join(f"Paragraph {n}. " + "word " * 40 for n in range(500)))
    answer = extract_text("long.txt")
    assert answer.partial
    assert len(answer.value["text"]) <= 20_000
    assert 'save="text.md"' in answer.text
    saved = extract_text("long.txt", save="out/all")
    assert saved.files == ("out/all.md",)
    assert not saved.partial
    assert "Paragraph 499." in Path("out/all.md").read_text()


@pytest.mark.parametrize("write", [write_docx, write_pptx, write_xlsx])
def test_half_an_office_file_is_refused_as_damaged(write: Callable[[str], None], tmp_path: Path) -> None:
    name = f"a.{write.__name__.removeprefix('write_')}"
    write(name)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ToolFailure, match="damaged"):
        extract_text(name)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.eml", "a.rtf", "a.png", "a.ods"])
def test_rubbish_is_refused_with_its_name(name: str) -> None:
    Path(name).write_bytes(bytes(range(256)) * 8)
    with pytest.raises(ToolFailure, match=name):
        extract_text(name)


def test_a_damaged_pdf_is_refused() -> None:
    Path("a.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<< broken")
    with pytest.raises(ToolFailure, match="damaged"):
        extract_text("a.pdf")


def test_an_archive_that_unpacks_to_too_much_is_refused() -> None:
    with zipfile.ZipFile("bomb.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 50_000_000)
    with pytest.raises(ToolFailure, match="more than is safe"):
        extract_text("bomb.docx")


def test_a_zip_that_is_no_word_document_says_so() -> None:
    with zipfile.ZipFile("a.docx", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(ToolFailure, match="is no Word document"):
        extract_text("a.docx")


def test_an_empty_file_and_a_missing_one_say_what_is_there() -> None:
    Path("empty.pdf").touch()
    with pytest.raises(ToolFailure, match="empty"):
        extract_text("empty.pdf")
    with pytest.raises(ToolFailure) as missing:
        extract_text("other.pdf")
    assert "empty.pdf" in missing.value.hint


def test_nothing_outside_the_workspace_is_read_or_written(tmp_path: Path) -> None:
    Path("a.txt").write_text("words")
    with pytest.raises(ToolFailure, match="outside the workspace"):
        extract_text("../secret.txt")
    with pytest.raises(ToolFailure, match="outside the workspace"):
        extract_text("a.txt", save="../a.md")
    assert not (tmp_path.parent / "a.md").exists()


def test_old_word_files_name_the_way_on() -> None:
    Path("a.doc").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    with pytest.raises(ToolFailure) as refused:
        extract_text("a.doc")
    assert ".docx" in refused.value.hint


def write_picture(name: str) -> None:
    from PIL import Image

    Image.new("RGB", (40, 20), "white").save(name)


def test_a_picture_without_tesseract_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture("a.png")
    monkeypatch.setattr(pictures.shutil, "which", lambda _name: None)
    with pytest.raises(ToolFailure) as refused:
        extract_text("a.png")
    assert "40×20" in refused.value.message
    assert "apt install tesseract-ocr" in refused.value.hint


def test_a_picture_is_read_by_tesseract_in_the_languages_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture("a.png")
    program = tmp_path / "tesseract"
    program.write_text('#!/bin/sh\nif [ "$1" = --list-langs ]; then echo eng; echo deu; else echo "read with $4"; fi\n')
    program.chmod(0o755)
    monkeypatch.setattr(pictures.shutil, "which", lambda _name: str(program))
    answer = extract_text("a.png")
    assert answer.value["text"] == "read with eng+deu"
    assert "letters may be wrong" in answer.text


def test_what_documents_say_is_marked_as_from_outside() -> None:
    spec = spec_of(extract_text)
    assert spec is not None
    assert spec.untrusted
    assert spec.file_parameters.keys() == {"path"}
    assert spec.parameters["required"] == ["path"]
