"""`./dirigent` finds Python, makes its environment once, and gets out of the way. A stub stands where Python does."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Plays Python: notes every call; `-m venv` makes a folder with a copy of itself in it; pip writes what it "installs".
STUB = """#!/bin/sh
echo "$*" >> "{calls}"
case "$*" in
    *ensurepip*) {venv} ;;
    *version_info*"(3, 11)"*) exit {too_old} ;;
    *version_info*) echo 3.11 ;;
    *"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"-m pip"*) echo "Collecting a"; {pip} ;;
    *"-m agent"*) echo "agent started with: $*" ;;
esac
"""


@dataclass
class Checkout:
    """A copy of what the wrapper needs, and a log of what it did."""

    root: Path
    calls: Path
    python: Path

    def stub(self, *, venv: str = "exit 0", too_old: int = 0, pip: str = "exit 0") -> None:
        self.python.write_text(STUB.format(calls=self.calls, venv=venv, too_old=too_old, pip=pip))
        self.python.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.root), "DIRIGENT_PYTHON": str(self.python)}

    def start(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / "dirigent"), *words]
        return subprocess.run(command, env=self.env, cwd=cwd, capture_output=True, text=True, timeout=200, check=False)

    def called(self) -> list[str]:
        listed = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return listed


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    root.mkdir()
    shutil.copy(ROOT / "dirigent", root)
    (root / "requirements.lock").write_text("a==1 \\\n    --hash=sha256:0\n")
    (root / "pyproject.toml").write_text("")
    made = Checkout(root, tmp_path / "calls", tmp_path / "python3-stub")
    made.stub()
    return made


def test_the_first_start_installs_the_locked_packages_and_the_project(checkout: Checkout):
    done = checkout.start("chat", "two words")
    assert done.stdout == "agent started with: -P -m agent chat two words\n"
    assert "only the first time" in done.stderr
    pips = [call for call in checkout.called() if "-m pip" in call]
    assert "--require-hashes" in pips[0]
    assert "--no-deps --no-build-isolation -e" in pips[1]


def test_the_second_start_calls_python_once_for_the_command_itself(checkout: Checkout):
    checkout.start()
    checkout.called()
    done = checkout.start("version")
    assert done.stderr == ""
    assert checkout.called() == ["-P -m agent version"]


def test_the_current_folder_stays_what_it_is(checkout: Checkout, tmp_path: Path):
    checkout.start()
    script = checkout.root / ".venv" / "bin" / "python"
    script.write_text("#!/bin/sh\npwd\n")
    assert checkout.start(cwd=tmp_path).stdout.strip() == str(tmp_path)


def test_a_link_to_the_wrapper_works(checkout: Checkout, tmp_path: Path):
    (tmp_path / "d").symlink_to(checkout.root / "dirigent")
    done = subprocess.run(
        [str(tmp_path / "d")], env=checkout.env, capture_output=True, text=True, timeout=200, check=False
    )
    assert "agent started" in done.stdout


def test_a_half_made_environment_is_made_anew(checkout: Checkout):
    checkout.stub(pip="exit 1")
    assert checkout.start().returncode == 1
    (checkout.root / ".venv" / "leftover").write_text("")
    checkout.stub()
    assert checkout.start().returncode == 0
    assert not (checkout.root / ".venv" / "leftover").exists()


def test_a_failed_installation_shows_what_pip_said_and_the_way_on(checkout: Checkout):
    checkout.stub(pip='echo "no network today"; exit 1')
    done = checkout.start()
    assert done.returncode == 1
    assert "no network today" in done.stderr
    assert "start ./dirigent again" in done.stderr
    assert not (checkout.root / ".venv.lock").exists()


def test_a_changed_lock_is_installed_into_the_same_environment(checkout: Checkout):
    checkout.start()
    kept = checkout.root / ".venv" / "kept"
    kept.write_text("")
    (checkout.root / "requirements.lock").write_text("b==2 \\\n    --hash=sha256:1\n")
    checkout.called()
    done = checkout.start()
    assert "bringing its packages up to date" in done.stderr
    assert any("--require-hashes" in call for call in checkout.called())
    assert kept.exists()


def test_a_moved_checkout_is_set_up_again(checkout: Checkout, tmp_path: Path):
    checkout.start()
    moved = tmp_path / "moved"
    checkout.root.rename(moved)
    checkout.root = moved
    done = checkout.start()
    assert "Setting up" in done.stderr
    assert done.returncode == 0


def test_starts_at_the_same_time_set_up_once(checkout: Checkout):
    checkout.stub(pip="sleep 0.3; exit 0")
    command = [str(checkout.root / "dirigent"), "x"]
    started = [
        subprocess.Popen(command, env=checkout.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in started]
    assert all(b"agent started" in output for output in outputs)
    assert sum("-m venv" in call for call in checkout.called()) == 1


def test_the_lock_of_a_start_that_died_is_taken_over(checkout: Checkout):
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    (checkout.root / ".venv.lock").mkdir()
    (checkout.root / ".venv.lock" / "pid").write_text(f"{dead.pid}\n")
    assert checkout.start().returncode == 0


def test_a_missing_venv_module_names_the_package(checkout: Checkout):
    checkout.stub(venv="exit 1")
    done = checkout.start()
    assert done.returncode == 1
    assert "apt-get install python3.11-venv" in done.stderr


def test_an_old_python_is_refused_with_the_way_on(checkout: Checkout):
    checkout.stub(too_old=1)
    done = checkout.start()
    assert done.returncode == 1
    assert "is no Python 3.11 or newer" in done.stderr


def test_without_any_python_the_message_says_what_to_install(checkout: Checkout, tmp_path: Path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "cat", "dirname", "readlink", "cksum", "mkdir", "rm", "grep", "sed"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    env = {"PATH": str(tools), "HOME": str(tmp_path)}
    command = ["/bin/sh", str(checkout.root / "dirigent")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_the_wrapper_is_executable_and_plain_sh():
    wrapper = ROOT / "dirigent"
    assert wrapper.stat().st_mode & stat.S_IXUSR
    assert wrapper.read_text().startswith("#!/bin/sh\n")
    shell = "dash" if shutil.which("dash") else "sh"
    subprocess.run([shell, "-n", str(wrapper)], check=True, env={"PATH": os.environ["PATH"]})
