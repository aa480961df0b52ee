"""An installation in one file and back: whole, as of one moment, and nothing of a wrong file is believed."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from agent import archive
from agent.domain.messages import Destination
from agent.domain.run import Run
from agent.errors import ConfigError
from agent.store.sql import SqlStore

TOKEN = "123456:secret-of-the-bot"


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    (made / "sessions" / "terminal_main" / "work" / "deep" / "er").mkdir(parents=True)
    (made / "sessions" / "terminal_main" / "MEMORY.md").write_text("- likes tea\n")
    (made / "sessions" / "terminal_main" / "work" / "deep" / "er" / "a.csv").write_bytes(bytes(range(256)) * 5_000)
    for folder in ("pipelines", "plugins", "secrets", "logs", "bells"):
        (made / folder).mkdir()
        (made / folder / "file").write_text(folder)
    (made / "dirigent.toml").write_text(f'model = "auto"\ntelegram_token = "{TOKEN}"\n')
    store = SqlStore(made / "journal.db")
    await store.open()
    await store.open_run(Run("terminal:main", "hello", Destination("terminal", "main")))
    await store.set_value("a", "1")
    yield made  # the journal stays open: it is exported while it is in use
    await store.close()


async def test_everything_comes_back_and_the_journal_opens(home: Path, tmp_path: Path):
    file, again = tmp_path / "all.tar.gz", tmp_path / "again"
    report = archive.export(home, file)
    assert report.notes == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert archive.restore(file, again).files == report.files

    def listed(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    left_out = ("journal.db", "logs/", "bells/")
    before = {name: data for name, data in listed(home).items() if not name.startswith(left_out)}
    after = {name: data for name, data in listed(again).items() if not name.startswith(left_out)}
    assert before == after
    store = SqlStore(again / "journal.db")
    await store.open()
    assert [run.request for run in await store.recent_runs()] == ["hello"]
    assert await store.get_value("a") == "1"
    await store.close()


async def test_without_secrets_none_is_in_it(home: Path, tmp_path: Path):
    file, again = tmp_path / "all.tar.gz", tmp_path / "again"
    archive.export(home, file, [TOKEN])
    archive.restore(file, again)
    assert not (again / "secrets").exists()
    assert (again / "dirigent.toml").read_text() == 'model = "auto"\n'


async def test_links_and_pipes_are_passed_over_and_said(home: Path, tmp_path: Path):
    work = home / "sessions" / "terminal_main" / "work"
    (work / "link").symlink_to("/etc/passwd")
    os.mkfifo(work / "pipe")
    (home / "sessions" / "terminal_main" / "away").symlink_to("/etc")
    report = archive.export(home, tmp_path / "all.tar.gz")
    assert len(report.notes) == 1
    assert "3 links" in report.notes[0]
    archive.restore(tmp_path / "all.tar.gz", tmp_path / "again")
    assert not any(path.is_symlink() for path in (tmp_path / "again").rglob("*"))


async def test_nothing_is_written_over(home: Path, tmp_path: Path):
    file = tmp_path / "all.tar.gz"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        archive.export(home, file)
    assert file.read_text() == "mine"
    archive.export(home, tmp_path / "b.tar.gz")
    with pytest.raises(ConfigError, match="not empty"):
        archive.restore(tmp_path / "b.tar.gz", home)
    with pytest.raises(ConfigError, match="no journal"):
        archive.export(tmp_path / "elsewhere", tmp_path / "c.tar.gz")
    with pytest.raises(ConfigError, match="cannot be written"):
        archive.export(home, tmp_path / "none" / "c.tar.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.tar.gz", "b.tar.gz", "home"]


def _made(file: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(file, "w:gz") as made:
        for entry, data in entries:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return file


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


MANIFEST = json.dumps({"format": 1, "sha256": {}}).encode()


@pytest.mark.parametrize(
    "entries",
    [
        [(_entry("../evil"), b"x")],
        [(_entry("/tmp/evil"), b"x")],
        [(_entry("a/../../evil"), b"x")],
        [(_entry("link", tarfile.SYMTYPE, "/etc"), b""), (_entry("link/evil"), b"x")],
        [(_entry("hard", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [(_entry("pipe", tarfile.FIFOTYPE), b"")],
        [(_entry("device", tarfile.CHRTYPE), b"")],
        [(_entry("more"), b"x"), (_entry(archive.MANIFEST), MANIFEST)],
        [(_entry(archive.MANIFEST), MANIFEST), (_entry("late"), b"x")],
        [(_entry(archive.MANIFEST), b"[]")],
        [(_entry(archive.MANIFEST), b"{")],
        [(_entry("same"), b"x"), (_entry("same"), b"y")],
        [],
    ],
)
def test_a_wrong_archive_makes_nothing(tmp_path: Path, entries):
    file = _made(tmp_path / "wrong.tar.gz", entries)
    with pytest.raises(ConfigError, match=r"no whole archive"):
        archive.restore(file, tmp_path / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.tar.gz"]


async def test_a_damaged_archive_makes_nothing(home: Path, tmp_path: Path):
    file = tmp_path / "all.tar.gz"
    archive.export(home, file)
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-40], b"", b"rubbish"):
        file.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"no whole archive"):
            archive.restore(file, tmp_path / "again")
    assert not (tmp_path / "again").exists()
