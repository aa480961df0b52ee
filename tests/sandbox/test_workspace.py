"""The host's side of a workspace that programs may fill with anything."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import workspace as module
from sandbox.workspace import Workspace, WorkspaceError, safe_name

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["openat2", "step by step"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    if request.param == "step by step":
        monkeypatch.setattr(module, "_has_openat2", lambda: False)
    with Workspace(tmp_path / "work") as opened:
        assert opened.how == request.param
        yield opened


def test_what_is_written_is_read_and_listed(files: Workspace):
    files.write_bytes("a/b/c.txt", b"hello")
    assert files.read_bytes("a/b/c.txt") == b"hello"
    files.write_bytes("a/b/c.txt", b"again")
    assert files.read_bytes("a/b/c.txt") == b"again"
    assert files.list_files() == ("a/b/c.txt",)


class Killed(BaseException):
    pass


class EndsInTheMiddle(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise Killed


@pytest.mark.parametrize("in_its_way", [False, True])
def test_a_write_that_was_killed_and_is_done_again_leaves_nothing_beside_the_file(files: Workspace, in_its_way: bool):
    with pytest.raises(Killed):
        files.put("a/b.txt", EndsInTheMiddle(), again="this one")
    (half,) = (files.root / "a").iterdir()
    if in_its_way:
        half.unlink()
        half.mkdir()
    files.put("a/b.txt", io.BytesIO(b"whole"), again="this one")
    assert files.list_files() == ("a/b.txt",)
    assert files.read_bytes("a/b.txt") == b"whole"
    assert half.exists() == in_its_way


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", "", "a\0b", "a\nb", "x\u202egnp.exe"])
def test_a_path_that_leads_out_or_deceives_is_refused(files: Workspace, path: str):
    with pytest.raises(WorkspaceError):
        files.read_bytes(path)
    with pytest.raises(WorkspaceError):
        files.write_bytes(path, b"x")


def test_links_are_not_followed(files: Workspace, tmp_path: Path):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "outside").mkdir()
    (files.root / "file").symlink_to(tmp_path / "secret")
    (files.root / "folder").symlink_to(tmp_path / "outside")
    (files.root / "self").symlink_to("/proc/self/root")
    for path in ("file", "folder/x", "self/etc/passwd"):
        with pytest.raises(WorkspaceError, match="link"):
            files.read_bytes(path)
    with pytest.raises(WorkspaceError, match="link"):
        files.write_bytes("folder/x", b"planted")
    assert not list((tmp_path / "outside").iterdir())
    assert files.list_files() == ()


def test_writing_replaces_a_link_and_not_what_it_names(files: Workspace, tmp_path: Path):
    (tmp_path / "secret").write_text("s")
    (files.root / "file").symlink_to(tmp_path / "secret")
    files.write_bytes("file", b"new")
    assert (tmp_path / "secret").read_text() == "s"
    assert files.read_bytes("file") == b"new"


def test_a_pipe_is_refused_without_waiting_for_it(files: Workspace):
    os.mkfifo(files.root / "pipe")
    with pytest.raises(WorkspaceError, match="no regular file"):
        files.open_read("pipe")
    assert files.snapshot().skipped == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount (fine in CI)")
@pytest.mark.parametrize("way", ["openat2", "step by step"])
def test_what_is_mounted_in_a_workspace_is_not_the_sessions(tmp_path: Path, way: str):
    (tmp_path / "mounted").mkdir()
    program = (
        "import sys\nfrom pathlib import Path\nfrom sandbox import kernel, workspace\n"
        f"if {way!r} != 'openat2': workspace._has_openat2 = lambda: False\n"
        "kernel.unshare(kernel.CLONE_NEWNS)\nkernel.mount('none', '/', '', 0x44000)\n"
        "root = Path(sys.argv[1])\nkernel.mount('none', str(root / 'mounted'), 'tmpfs', 0)\n"
        "(root / 'mounted' / 'secret').write_text('s')\n"
        "with workspace.Workspace(root) as files:\n"
        "    assert files.list_files() == ()\n"
        "    try: print('read', files.read_bytes('mounted/secret'))\n"
        "    except workspace.WorkspaceError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=200)
    assert said.stdout == "'mounted/secret' leads out of the workspace.\n", said.stderr


def test_a_folder_is_no_file(files: Workspace):
    (files.root / "folder").mkdir()
    with pytest.raises(WorkspaceError):
        files.read_bytes("folder")
    with pytest.raises(WorkspaceError, match="folder"):
        files.write_bytes("folder", b"x")
    assert [p.name for p in files.root.iterdir()] == ["folder"]


def test_a_missing_file_is_named(files: Workspace):
    with pytest.raises(WorkspaceError, match=r"'gone\.csv' does not exist"):
        files.read_bytes("gone.csv")


def test_a_file_over_the_limit_is_refused(files: Workspace):
    files.write_bytes("big", b"x" * 100)
    assert files.read_bytes("big", 100) == b"x" * 100
    with pytest.raises(WorkspaceError, match="larger than 99"):
        files.read_bytes("big", 99)


def test_changes_are_found_by_kind_with_their_digests(files: Workspace):
    files.write_bytes("same", b"1")
    files.write_bytes("changed", b"1")
    files.write_bytes("gone", b"1")
    before = files.snapshot()
    files.write_bytes("changed", b"22")
    files.write_bytes("new", b"333")
    files.remove("gone")
    changes = files.diff(before, files.snapshot())
    assert [(c.path, c.change, c.size) for c in changes] == [
        ("changed", "modified", 2),
        ("gone", "deleted", 0),
        ("new", "added", 3),
    ]
    assert changes[2].sha256 == hashlib.sha256(b"333").hexdigest()


def test_a_change_with_a_forged_time_is_found(files: Workspace):
    files.write_bytes("file", b"1")
    status = (files.root / "file").stat()
    before = files.snapshot()
    (files.root / "file").write_bytes(b"2")
    os.utime(files.root / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [c.path for c in files.diff(before, files.snapshot())] == ["file"]


def test_copying_in_finds_a_free_harmless_name(files: Workspace, tmp_path: Path):
    source = tmp_path / "data.csv"
    source.write_text("a,b\n")
    assert files.copy_in(source) == "data.csv"
    assert files.copy_in(source) == "data-2.csv"
    assert files.copy_in(source, "../../etc/pass\nwd.csv") == "pass_wd.csv"
    assert files.read_bytes("data-2.csv") == b"a,b\n"


def test_copying_out_writes_the_bytes(files: Workspace, tmp_path: Path):
    files.write_bytes("chart.png", b"png")
    files.copy_out("chart.png", tmp_path / "sent.png")
    assert (tmp_path / "sent.png").read_bytes() == b"png"


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("..", "file"),
        (".hidden", "hidden"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("a\u202eb.txt", "a_b.txt"),
        ("Übersicht.csv", "Übersicht.csv"),
        ("", "file"),
    ],
)
def test_names_are_made_harmless(given: str, safe: str):
    assert safe_name(given) == safe


def test_long_names_keep_their_suffix():
    name = safe_name("ä" * 500 + ".csv")
    assert name.endswith("ä.csv")
    assert len(name.encode()) <= module.NAME_BYTES


def test_a_tree_3000_deep_is_scanned_and_removed(files: Workspace):
    descriptor = os.open(files.root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    assert files.snapshot().complete is False
    files.remove("d")
    assert not list(files.root.iterdir())


def test_removing_a_link_leaves_what_it_names(files: Workspace, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (files.root / "tree").mkdir()
    (files.root / "tree" / "link").symlink_to(tmp_path / "outside")
    (files.root / "link").symlink_to(tmp_path / "outside")
    files.remove("link")
    files.remove("tree")
    assert not list(files.root.iterdir())
    assert (tmp_path / "outside" / "kept").exists()


def test_a_folder_swapped_for_a_link_again_and_again_never_leads_out(files: Workspace, tmp_path: Path):
    """A program that wins every race still shows us only what is in the workspace."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    real, link, spare = files.root / "d", files.root / "l", files.root / "s"
    real.mkdir()
    (real / "file").write_text("ours")
    link.symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            real.rename(spare)
            link.rename(real)
            real.rename(link)
            spare.rename(real)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                seen.add(files.read_bytes("d/file"))
            except WorkspaceError:
                seen.add(b"refused")
    finally:
        stop.set()
        swapping.join()
    assert seen <= {b"ours", b"refused"}
    assert files.read_bytes("d/file") == b"ours"
