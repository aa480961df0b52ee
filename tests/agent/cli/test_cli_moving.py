"""`dirigent migrate-sessions`, `doctor` and `export` where sessions' files are kept in a storage or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.config.sessions import Sessions
from agent.testing.s3 import WITHOUT, S3Server, interpreter

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "home"
    monkeypatch.setenv("DIRIGENT_HOME", str(made))
    work = made / "sessions" / "telegram_11" / "work"
    work.mkdir(parents=True)
    (work / "a.csv").write_text("1\n")
    (work / "run.sh").write_text("echo\n")
    (work / "run.sh").chmod(0o755)
    (work / "link").symlink_to("/etc/passwd")
    (work.parent / "MEMORY.md").write_text("- likes tea\n")
    (work.parent / "versions" / "contents" / "ab").mkdir(parents=True)
    (work.parent / "versions" / "contents" / "ab" / "abcd").write_text("old")
    return made


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    if not interpreter():
        pytest.skip(WITHOUT)
    with S3Server.start() as server:
        settings = server.new_bucket()
        monkeypatch.setenv("DIRIGENT_SESSIONS__ENDPOINT", str(settings.endpoint))
        monkeypatch.setenv("DIRIGENT_SESSIONS__ACCESS_KEY", "key")
        monkeypatch.setenv("DIRIGENT_SESSIONS__SECRET_KEY", "a secret of the storage")
        yield settings


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(p.relative_to(folder)): p.read_text() for p in found if p.name not in {".mirror", "SESSION.json"}}


def test_sessions_go_into_a_folder_and_are_passed_over_the_second_time(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate-sessions", "--to", str(tmp_path / "shared")]) == 0
    assert f'set `folder = "{tmp_path / "shared"}"`' in capsys.readouterr().out
    assert main(["migrate-sessions", "--to", str(tmp_path / "shared")]) == 0

    assert "telegram_11: 0 files, 4 there already" in capsys.readouterr().out
    assert files(tmp_path / "shared") == files(home / "sessions")
    assert (tmp_path / "shared" / "telegram_11" / "work" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "shared" / "telegram_11" / "work" / "link").exists()


def test_doctor_says_whether_a_folder_can_be_written(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    monkeypatch.setenv("DIRIGENT_SESSIONS__FOLDER", str(tmp_path / "shared"))
    main(["doctor"])
    assert f"✓ sessions  kept in {tmp_path / 'shared'}; locks work" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIRIGENT_SESSIONS__FOLDER", str(tmp_path / "file" / "below"))

    assert main(["doctor"]) == 1

    assert "✗ sessions  " in capsys.readouterr().out
    assert list((tmp_path / "shared").iterdir()) == []


def test_sessions_go_into_a_storage_and_from_there_into_another_home_and_an_archive(
    home: Path, tmp_path: Path, storage: Sessions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    assert main(["migrate-sessions", "--to", storage.storage]) == 0
    assert main(["migrate-sessions", "--to", storage.storage]) == 0, "it may be repeated"
    before = files(home / "sessions")

    other = tmp_path / "other"
    monkeypatch.setenv("DIRIGENT_HOME", str(other))
    monkeypatch.setenv("DIRIGENT_SESSIONS__STORAGE", storage.storage)
    capsys.readouterr()
    main(["doctor"])  # which makes the journal that an export needs
    assert f"✓ sessions  1 in {storage.storage}" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "all.tar.gz")]) == 0
    monkeypatch.delenv("DIRIGENT_SESSIONS__STORAGE")
    assert main(["import", str(tmp_path / "all.tar.gz"), "--home", str(tmp_path / "third")]) == 0
    assert files(tmp_path / "third" / "sessions") == before
    assert not (tmp_path / "third" / "mirror").exists()

    monkeypatch.setenv("DIRIGENT_SESSIONS__STORAGE", storage.storage)
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path / "fourth"))
    assert main(["migrate-sessions", "--to", "home"]) == 0
    assert files(tmp_path / "fourth" / "sessions") == before


def test_a_storage_that_refuses_is_told_by_every_command_without_its_keys(
    home: Path, storage: Sessions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    monkeypatch.setenv("DIRIGENT_SESSIONS__STORAGE", "s3://not-there/x")

    assert main(["doctor"]) == 1
    assert main(["chat", "hello"]) == 1

    said = "".join(capsys.readouterr())
    assert said.count("there is no such bucket") == 2
    assert "a secret of the storage" not in said
