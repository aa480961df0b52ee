"""What is kept of a workspace: read only where it changed, whole after a crash, and checked before it is used."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from agent.versions import kept as kept_files
from agent.versions.kept import Damaged, KeptFiles
from sandbox.workspace import Workspace
from tests.benchmarks.undo_snapshots import measured


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptFiles:
    monkeypatch.setattr(kept_files, "FRESH_NS", 0)
    made = KeptFiles(tmp_path / "versions", 1 << 20)
    with made.lock():
        return made


def looked(kept: KeptFiles, work: Path) -> dict[str, str]:
    with Workspace(work) as workspace:
        found = kept.look(workspace).files
    return {path: _bytes(kept, file) for path, file in found.items()}


def _bytes(kept: KeptFiles, file: kept_files.KeptFile) -> str:
    with kept.open(file) as content:
        return content.read().decode()


def test_what_is_unchanged_is_not_read_again(kept: KeptFiles, work: Path, monkeypatch: pytest.MonkeyPatch):
    (work / "a").write_text("one")
    (work / "b").write_text("two")
    time.sleep(0.02)
    assert looked(kept, work) == {"a": "one", "b": "two"}
    read: list[str] = []
    original = KeptFiles._keep
    monkeypatch.setattr(KeptFiles, "_keep", lambda self, *rest: read.append(rest[1]) or original(self, *rest))
    (work / "b").write_text("three")
    assert looked(kept, work) == {"a": "one", "b": "three"}
    assert read == ["b"]


def test_a_change_that_hides_behind_its_old_time_is_seen(kept: KeptFiles, work: Path):
    (work / "a").write_text("one")
    status = (work / "a").stat()
    time.sleep(0.02)
    looked(kept, work)
    (work / "a").write_text("two")
    os.utime(work / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert looked(kept, work) == {"a": "two"}


def test_equal_bytes_are_kept_once(kept: KeptFiles, work: Path):
    for name in "abc":
        (work / name).write_text("the same")
    looked(kept, work)
    assert len(kept.sizes()) == 1


def test_links_and_pipes_are_not_followed(kept: KeptFiles, work: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (work / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(work / "pipe")
    assert looked(kept, work) == {}


def test_a_listing_that_was_damaged_is_refused(kept: KeptFiles, work: Path, tmp_path: Path):
    (work / "a").write_text("one")
    with Workspace(work) as workspace:
        digest = kept.write_listing(kept.look(workspace).files, {"a": 7})
    assert kept.listing(digest)["a"].row == 7
    place = tmp_path / "versions" / "listings" / digest
    place.write_bytes(place.read_bytes()[:-3] + b"xxx")
    with pytest.raises(Damaged):
        kept.listing(digest)


def test_bytes_that_were_damaged_are_refused(kept: KeptFiles, work: Path, tmp_path: Path):
    (work / "a").write_text("one")
    with Workspace(work) as workspace:
        file = kept.look(workspace).files["a"]
    (place,) = (tmp_path / "versions" / "contents").glob("*/*")
    place.write_text("two")
    with pytest.raises(Damaged):
        kept.open(file)


def test_an_index_of_rubbish_only_costs_time(kept: KeptFiles, work: Path, tmp_path: Path):
    (work / "a").write_text("one")
    (tmp_path / "versions" / "index").write_bytes(b"{rubbish")
    assert looked(kept, work) == {"a": "one"}


def test_forgetting_keeps_what_is_wanted_and_removes_what_a_crash_has_left(kept: KeptFiles, work: Path, tmp_path: Path):
    (work / "a").write_text("one")
    (work / "b").write_text("two")
    time.sleep(0.02)
    with Workspace(work) as workspace:
        found = kept.look(workspace).files
    half = tmp_path / "versions" / "0123.part"
    half.write_text("half")
    kept.forget(contents={found["a"].sha256}, listings=set())
    assert not half.exists()
    assert set(kept.sizes()) == {found["a"].sha256}
    assert looked(kept, work) == {"a": "one", "b": "two"}, "what is gone is read and kept anew"


def test_a_look_at_many_files_of_which_none_has_changed_reads_none(tmp_path: Path):
    found = measured(tmp_path, 400)
    assert found["unchanged"] < found["first"]
