"""The files tools, as plain functions in a workspace."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from plugins.api import Output, ToolFailure
from plugins.files import (
    append_file,
    convert_file,
    copy_file,
    delete_file,
    edit_file,
    file_info,
    list_files,
    move_file,
    read_file,
    search_files,
    write_file,
)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def put(name: str, content: str | bytes = "text\n") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(function: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(ToolFailure) as caught:
        function(*args, **options)
    return f"{caught.value.message} {caught.value.hint}"


def names(output: Output) -> list[str]:
    return sorted(row["path"] for row in output.value)


def test_files_are_listed_newest_first_with_their_sizes():
    os.utime(put("old.txt"), (1, 1))
    put("sub/new.csv", "a,b\n")
    put(".hidden")
    listed = list_files()
    assert [row["path"] for row in listed.value] == ["sub/new.csv", "old.txt"]
    assert "old.txt  5 bytes  1970-01-01 00:00" in listed.text


def test_a_pattern_a_suffix_or_a_folder_narrows_the_list():
    put("a.csv")
    put("sub/b.csv")
    put("sub/c.txt")
    assert names(list_files("*.csv")) == names(list_files("csv")) == names(list_files(".csv")) == ["a.csv", "sub/b.csv"]
    assert names(list_files("sub")) == names(list_files("sub/**")) == ["sub/b.csv", "sub/c.txt"]
    assert list_files("*.png").text == "No file matches '*.png'."


def test_an_empty_workspace_is_said():
    assert list_files().text == "The workspace is empty."


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("Größe".encode(), ""),
        ("Größe".encode("utf-8-sig"), ""),
        ("Größe".encode("cp1252"), "(read as cp1252)"),
        ("Größe".encode("utf-16"), "(read as utf-16)"),
        ("Größe\x81".encode("latin-1"), "(read as latin-1)"),
    ],
)
def test_text_is_read_in_whatever_encoding_it_has(content: bytes, note: str):
    put("a.txt", content)
    result = read_file("a.txt")
    assert result.value.rstrip("\x81") == "Größe"
    assert note in result.text


def test_some_lines_of_a_file_are_read():
    put("a.txt", "one\ntwo\nthree\nfour\n")
    assert read_file("a.txt", start_line=2, lines=2).value == "two\nthree"
    assert "has 4 lines; line 9" in refusal(read_file, "a.txt", start_line=9)
    put("empty.txt", "")
    assert read_file("empty.txt").text == "(the file is empty)"


def test_a_long_file_is_cut_and_says_how_far_it_was_shown():
    put("long.txt", "0123456789\n" * 10_000)
    result = read_file("long.txt")
    assert result.partial
    assert "up to line 5,455 of 10,000" in result.text


def test_what_is_no_text_is_refused_with_the_way_on():
    put("a.png", b"\x89PNG\x00\x01")
    assert "a.png is not a text file. extract_text reads documents" in refusal(read_file, "a.png")


def test_a_missing_file_names_the_nearest():
    put("reports/sales.csv")
    assert "Did you mean reports/sales.csv?" in refusal(read_file, "reports/sale.csv")
    assert "Did you mean reports/sales.csv?" in refusal(read_file, "sales.xlsx")
    assert "is a folder" in refusal(read_file, "reports")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "~/x", "", "bad\0name", ".", "out/x"])
def test_a_path_outside_the_workspace_is_refused(path: str, workspace: Path):
    (workspace / "out").symlink_to(workspace.parent)
    assert "workspace" in refusal(write_file, path, "text")
    assert not (workspace.parent / "x").exists()


def test_files_are_written_replaced_and_appended_to():
    assert write_file("notes/a.md", "one").text == "Wrote notes/a.md (3 bytes)."
    assert write_file("notes/a.md", "two", append=True).text.startswith("Appended to")
    assert Path("notes/a.md").read_text() == "one\ntwo"
    assert write_file("notes/a.md", "new\r\n").files == ("notes/a.md",)
    assert Path("notes/a.md").read_bytes() == b"new\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_appending_keeps_what_is_there_and_its_encoding(encoding: str):
    put("a.txt", "Größe".encode(encoding))
    append_file("a.txt", "Länge")
    assert Path("a.txt").read_bytes().decode(encoding) == "Größe\nLänge"
    assert append_file("new.txt", "x").text == "Wrote new.txt (1 bytes)."


def test_an_edit_changes_exactly_one_place_and_keeps_encoding_and_line_ends():
    put("a.txt", "eins\r\nGröße\r\n".encode("cp1252"))
    edit_file("a.txt", "Größe", "Länge")
    assert Path("a.txt").read_bytes() == "eins\r\nLänge\r\n".encode("cp1252")


def test_an_edit_that_is_not_clear_changes_nothing():
    put("a.txt", "one two\none three\n")
    assert "occurs 2 times" in refusal(edit_file, "a.txt", "one", "1")
    assert "The nearest line is: one three" in refusal(edit_file, "a.txt", "one thre!", "1")
    assert Path("a.txt").read_text() == "one two\none three\n"
    assert edit_file("a.txt", "one", "1", all=True).value == 2
    assert Path("a.txt").read_text() == "1 two\n1 three\n"


def test_text_is_found_with_file_and_line():
    put("a.txt", "alpha\nBeta (1)\n")
    put("sub/b.md", "beta (1) again\n")
    put("c.bin", b"beta\0")
    hits = search_files("beta (1)").value
    assert [(hit["path"], hit["line"]) for hit in hits] == [("a.txt", 2), ("sub/b.md", 1)]
    assert search_files("^al", "a.txt", regex=True).text == "a.txt:1: alpha"
    assert search_files("nothing").text == "'nothing' was not found in 3 files."
    assert "not a regular expression" in refusal(search_files, "(", regex=True)
    assert "There is no file 'x.txt'" in refusal(search_files, "a", "x.txt")


def test_a_hit_in_an_endless_line_is_shown_with_what_is_around_it():
    put("a.txt", "x" * 100_000 + "needle" + "y" * 100_000)
    (hit,) = search_files("needle").value
    assert "needle" in hit["text"]
    assert len(hit["text"]) <= 300


def test_moving_and_copying_never_replace_a_file():
    put("a.txt", "a")
    put("b.txt", "b")
    assert "already exists" in refusal(move_file, "a.txt", "b.txt")
    assert "already exists" in refusal(copy_file, "a.txt", "b.txt")
    assert copy_file("a.txt", "sub/").value == "sub/a.txt"
    assert move_file("a.txt", "sub/c.txt").value == "sub/c.txt"
    assert move_file("sub/c.txt", ".").value == "c.txt"
    assert "can't go into itself" in refusal(move_file, "sub", "sub/deeper")
    assert copy_file("sub", "twin").value == "twin"
    assert Path("twin/a.txt").read_text() == "a"


def test_deleting_reaches_the_link_and_not_what_it_leads_to():
    put("a.txt")
    Path("link").symlink_to("a.txt")
    delete_file("link")
    assert Path("a.txt").exists()
    put("sub/b.txt")
    assert "with 1 file." in delete_file("sub").text
    assert not Path("sub").exists()
    assert "There is no file" in refusal(delete_file, "sub")


def test_a_files_facts_are_told():
    put("a.csv", "a,b\n1,2\n")
    facts = file_info("a.csv").value
    assert (facts["size"], facts["lines"], facts["kind"], facts["encoding"]) == (8, 2, "text/csv", "utf-8")
    assert len(facts["sha256"]) == 64


# --- convert --------------------------------------------------------------------------------------------------------

TABLE = "id;name;amount;code\n1;Ärzte, GmbH;2.50;007\n2;;3;010\n"


@pytest.mark.parametrize("through", ["json", "jsonl", "xlsx", "parquet", "tsv"])
def test_a_table_keeps_its_cells_through_every_format_and_back(through: str):
    put("t.csv", TABLE)
    made = convert_file("t.csv", through)
    assert made.value == f"t.{through}"
    assert "2 rows, 4 columns" in made.text
    convert_file(made.value, "back.json")
    assert json.loads(Path("back.json").read_text()) == [
        {"id": 1, "name": "Ärzte, GmbH", "amount": 2.5, "code": "007"},
        {"id": 2, "name": None, "amount": 3.0, "code": "010"},
    ]


@pytest.mark.parametrize("text", ['{"rows": [{"a": 1}, {"a": 2}]}', '{"a": [1, 2]}', '[{"a": 1}, {"a": 2}]'])
def test_the_usual_shapes_of_json_tables_are_understood(text: str):
    put("t.json", text)
    convert_file("t.json", "csv")
    assert Path("t.csv").read_text() == "a\n1\n2\n"


def test_pictures_are_converted_and_transparency_becomes_white():
    from PIL import Image

    Image.new("RGBA", (4, 3), (255, 0, 0, 0)).save("p.png")
    assert convert_file("p.png", "jpeg").value == "p.jpg"
    with Image.open("p.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (4, 3))
        assert min(picture.convert("RGB").getpixel((1, 1))) > 250
    assert convert_file("p.jpg", "small.webp").value == "small.webp"
    facts = file_info("p.jpg").value
    assert (facts["width"], facts["height"]) == (4, 3)


def test_markdown_becomes_a_page_and_its_html_is_not_run():
    put("n.md", "# Hello & you\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    convert_file("n.md", "an html file")
    page = Path("n.html").read_text()
    assert "<title>Hello &amp; you</title>" in page
    assert "<td>1</td>" in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("name", "to", "reason"),
    [
        ("t.csv", "png", "It can become: tsv, json, jsonl, xlsx, parquet"),
        ("n.md", "pdf", "It can become: html"),
        ("z.zip", "csv", "I convert tables (csv,"),
        ("t.csv", "csv", "already is"),
        ("t.csv", "", "can't become"),
        ("bad.json", "csv", "can't be read as json"),
        ("bad.xlsx", "csv", "can't be read as xlsx"),
        ("bad.png", "jpg", "can't be read as a picture"),
        ("one.json", "csv", "single value"),
        ("t.csv", "../t.json", "outside the workspace"),
    ],
)
def test_what_cannot_be_converted_says_what_can(name: str, to: str, reason: str):
    for file in ("t.csv", "n.md", "z.zip", "bad.json", "bad.xlsx", "bad.png"):
        put(file, "{broken")
    put("one.json", "5")
    assert reason in refusal(convert_file, name, to)
