"""Which files a request names."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.channels.terminal.named_files import named_files, take_in
from agent.errors import DirigentError


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("sales.csv", "test", "my report.pdf", "a.tar.gz", ".env", "data/deep.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("request_text", "names"),
    [
        ("total per region from sales.csv", ["sales.csv"]),
        ("Is it in sales.csv?", ["sales.csv"]),
        ("Read sales.csv.", ["sales.csv"]),
        ("«sales.csv» or (sales.csv), please", ["sales.csv"]),
        ("./sales.csv and data/deep.txt", ["sales.csv", "data/deep.txt"]),
        ("sum up my report.pdf", ["my report.pdf"]),
        ('sum up "my report.pdf"', ["my report.pdf"]),
        ("unpack a.tar.gz", ["a.tar.gz"]),
        ("run a test", []),
        ("sales.csv.bak is something else", []),
        ("nothing.csv is not there", []),
        ("look in data/", []),
        ("", []),
        ("... / ~ . ..", []),
        ("a\0b.csv", []),
    ],
)
def test_files_are_found_by_name_and_by_path(here: Path, request_text: str, names: list[str]):
    assert named_files(request_text, here) == [here / name for name in names]


def test_absolute_paths_are_found(here: Path):
    assert named_files(f"read {here}/data/deep.txt", Path("/")) == [here / "data" / "deep.txt"]


def test_copies_with_equal_names_are_numbered_and_the_originals_stay(here: Path, tmp_path: Path):
    (here / "data" / "sales.csv").write_text("other")
    taken = take_in([here / "sales.csv", here / "data" / "sales.csv"], tmp_path / "incoming")
    assert [each.name for each in taken] == ["sales.csv", "sales-2.csv"]
    assert Path(taken[1].path).read_text() == "other"
    assert taken[0].mime == "text/csv"
    assert (here / "sales.csv").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(DirigentError, match=r"gone\.csv cannot be attached"):
        take_in([tmp_path / "gone.csv"], tmp_path / "incoming")
