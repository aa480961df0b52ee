"""What a box sees of the machine, and the command line that builds it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox import network
from sandbox.api import SandboxError
from sandbox.workspace import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.api import Policy

_ETC = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ssl",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/debian_version",
)
_ROOTS = "/opt/roots.pem"
_TMP_BYTES, _SHM_BYTES = 256 << 20, 128 << 20
_BOOT = (
    "import json,sys; s=json.loads(sys.argv[1]); sys.path[:0]=[s['home']]; sys.path+=s['site']; "
    "from sandbox.worker import main; main(sys.argv[1])"
)
# Threads started while libraries load would not survive the forks.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR")}


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a box: command line, environment, the init's settings, and where host paths appear inside."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    settings: Mapping[str, Any]
    workdir: str
    folders: tuple[tuple[Path, str], ...] = field(default=())

    def command(self, control: int, preload: tuple[str, ...]) -> list[str]:
        """Return the full command line for a box that talks over the descriptor `control`."""
        import json

        return [*self.argv, json.dumps({**self.settings, "control": control, "preload": list(preload)})]

    def without_spaces(self) -> Launch:
        """Return the same without namespaces."""
        return replace(self, settings={**self.settings, "namespaces": False})

    def source(self, source: str) -> str:
        """Return a tool's source as it is called inside; raise SandboxError when it is in no folder shown there."""
        if "/" not in source:
            return source
        path = Path(source).resolve()
        for outside, within in self.folders:
            if path.is_relative_to(outside.resolve()):
                return str(Path(within, path.relative_to(outside.resolve())))
        shown = ", ".join(str(outside) for outside, _ in self.folders) or "none"
        raise SandboxError(
            f"The plugin {source} is in no folder that the sandbox shows (shown: {shown}).",
            remedy="Put it into a plugin folder, or name its folder under `plugin_folders` in dirigent.toml.",
        )


def _package(name: str) -> Path:
    """Return the folder of one of the two packages that go inside."""
    return Path(__file__).resolve().parent.parent / name


def interpreter() -> Path:
    """Return the real interpreter behind a virtual environment's link."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def site_folders() -> tuple[Path, ...]:
    """Return the folders that hold installed libraries."""
    ends = ("site-packages", "dist-packages")
    return tuple(dict.fromkeys(Path(p).resolve() for p in sys.path if p.endswith(ends) and Path(p).is_dir()))


def find_bubblewrap() -> str | None:
    """Return the path of bwrap, looked up anew each time."""
    return shutil.which("bwrap")


@functools.cache
def _options(bwrap: str) -> frozenset[str]:
    """Return the options that this bubblewrap knows."""
    answer = subprocess.run(  # noqa: S603 - a path found by which
        [bwrap, "--help"], capture_output=True, text=True, check=False, timeout=20
    )
    return frozenset(word for word in (answer.stdout + answer.stderr).split() if word.startswith("--"))


class _Arguments:
    """Collects bubblewrap's arguments, leaving out options that it does not know and paths that do not exist."""

    def __init__(self, bwrap: str) -> None:
        self.list = [bwrap]
        self._known = _options(bwrap)
        self._made: set[Path] = {Path("/")}
        self._binds: set[Path] = set()

    def add(self, option: str, *values: str) -> None:
        if option in self._known:
            self.list += [option, *values]

    def show(self, path: Path | str, at: str = "") -> None:
        if Path(path).exists():
            self.above(Path(at or path))
            self.list += ["--ro-bind", str(path), at or str(path)]
            self._binds.add(Path(at or path))

    def above(self, path: Path) -> None:
        """Make the folders above a path: those that bubblewrap makes by itself are for their owner only."""
        for parent in reversed(path.parents):
            if parent not in self._made and not self._shown(parent):
                self.list += ["--dir", str(parent)]
                self._made.add(parent)

    def _shown(self, path: Path) -> bool:
        return any(path.is_relative_to(shown) for shown in self._binds)

    def memory(self, path: str, size: int) -> None:
        self.add("--perms", "1777")
        self.add("--size", str(size))
        self.list += ["--tmpfs", path]


def _system(arguments: _Arguments) -> None:
    arguments.show("/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            arguments.list += ["--symlink", str(path.readlink()), str(path)]
        else:
            arguments.show(path)
    for path in (*map(Path, _ETC), Path("/nix/store")):
        arguments.show(path)


def _python(arguments: _Arguments) -> tuple[str, list[str], dict[str, str]]:
    """Show the interpreter and its libraries; return the program, the library folders and the environment inside."""
    program, base, env = interpreter(), Path(sys.base_prefix).resolve(), {}
    inside = {Path("/usr"): "/usr"}
    if not base.is_relative_to("/usr"):
        arguments.show(base, "/opt/python")
        inside[base] = "/opt/python"
        shared = sysconfig.get_config_var("INSTSONAME") if sysconfig.get_config_var("Py_ENABLE_SHARED") else None
        if shared and (base / "lib" / shared).exists():
            arguments.show(base / "lib" / shared, f"/opt/lib/{shared}")
            env["LD_LIBRARY_PATH"] = "/opt/lib"
    sites = []
    for number, folder in enumerate(site_folders()):
        at = _within(folder, inside)
        if at is None:
            at = f"/opt/site{number}"
            arguments.show(folder, at)
        if (folder / "agent").is_dir():  # an installed product: its own code stays outside
            arguments.list += ["--tmpfs", f"{at}/agent", "--remount-ro", f"{at}/agent"]
        sites.append(at)
    return _within(program, inside) or str(program), sites, env


def _within(path: Path, shown: Mapping[Path, str]) -> str | None:
    for outside, at in shown.items():
        if path.is_relative_to(outside):
            return str(Path(at, path.relative_to(outside)))
    return None


def _spaces(arguments: _Arguments, user: int | None) -> None:
    """Ask for namespaces. With a user of its own the box is built by root, and the init becomes that user."""
    arguments.list += ["--die-with-parent", "--new-session", "--as-pid-1"]
    if user is None:
        arguments.list += ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000"]
        arguments.add("--disable-userns")
    else:
        arguments.list += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        arguments.add("--unshare-cgroup-try")
    arguments.list += ["--hostname", "sbx"]
    arguments.add("--cap-drop", "ALL")
    if user is not None:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # gone before the first job
            arguments.list += ["--cap-add", capability]


def bubblewrap(bwrap: str, workspace: Path, policy: Policy, user: int | None = None) -> Launch:
    """Return how to start a box with bubblewrap (rungs A and A-), as a user of its own where one is given."""
    arguments = _Arguments(bwrap)
    _spaces(arguments, user)
    _system(arguments)
    program, sites, extra = _python(arguments)
    arguments.above(Path("/opt/bin/python3"))
    arguments.list += ["--symlink", program, "/opt/bin/python3", "--symlink", program, "/opt/bin/python"]
    for name in ("pip", "pip3"):
        arguments.show(_package("sandbox") / "bin" / "pip", f"/opt/bin/{name}")
    roots = network.roots()
    if roots:
        arguments.show(Path(roots).resolve(), _ROOTS)
    folders = [(_package("plugins"), "/opt/dirigent/plugins")]
    arguments.show(_package("sandbox"), "/opt/dirigent/sandbox")
    folders += [(folder, f"/opt/plugins/{n}") for n, folder in enumerate(policy.plugin_folders) if folder.is_dir()]
    for outside, within in folders:
        arguments.show(outside, within)
    arguments.list += ["--proc", "/proc", "--dev", "/dev"]
    arguments.memory("/dev/shm", _SHM_BYTES)  # noqa: S108
    arguments.memory("/tmp", _TMP_BYTES)  # noqa: S108
    arguments.list += ["--bind", str(workspace), "/work", "--chdir", "/"]
    for path in policy.read_only:  # after /tmp, which would hide what lies below it
        arguments.show(path)
    # /proc too: where the agent is root, the kernel lets even a process without capabilities write its settings.
    for read_only in ("/dev", "/proc", "/"):
        arguments.add("--remount-ro", read_only)
    env = _environment("/work", "/tmp", "/opt/bin:/usr/local/bin:/usr/bin:/bin", sites) | extra  # noqa: S108
    env |= network.trust(_ROOTS if roots else "")
    settings = {"mode": "bwrap", "workdir": "/work", "home": "/opt/dirigent", "site": sites, "user": user}
    argv = (*arguments.list, "--", program, *_FLAGS, _BOOT)
    return Launch(argv, env, settings, "/work", tuple(folders))


_FLAGS = ("-I", "-S", "-B", "-X", "utf8", "-c")


def _environment(home: str, temporary: str, path: str, sites: list[str]) -> dict[str, str]:
    return {
        "PATH": f"{path}:{home}/{PACKAGES}/bin",  # last: a session's own programs replace none of the system's
        "HOME": home,
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "LANG": "C.UTF-8",
        "TMPDIR": temporary,
        "MPLCONFIGDIR": f"{temporary}/.matplotlib",
        "XDG_CACHE_HOME": f"{temporary}/.cache",
        "PYTHONPATH": ":".join([network.library_folder(home), *sites]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **network.packages(home),
        **_ONE_THREAD,
    }


def needed(policy: Policy) -> tuple[Path, ...]:
    """Return what the user of a box without bubblewrap must be able to reach: there, nothing is brought to it."""
    packages = _package("sandbox"), _package("plugins"), interpreter(), Path(sys.base_prefix)
    return (*packages, *site_folders(), *(path for path in policy.plugin_folders if path.is_dir()))


def without_bubblewrap(mode: str, workspace: Path, temporary: Path, policy: Policy, user: int | None = None) -> Launch:
    """Return how to start a box behind Landlock (`landlock`, rung C), or without walls (`bare`, the owner's choice).

    With a `user` of its own the init becomes that one.
    """
    program, base = interpreter(), Path(sys.base_prefix).resolve()
    sites = [str(folder) for folder in site_folders()]
    folders = [_package("plugins"), *(folder for folder in policy.plugin_folders if folder.is_dir())]
    readable = [*_ETC, "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", str(program), str(base)]
    for site in site_folders():
        readable += _without_the_product(site)
    readable += map(str, (_package("sandbox"), *folders, *policy.read_only))
    path = f"{_package('sandbox') / 'bin'}:{program.parent}:/usr/local/bin:/usr/bin:/bin"
    roots = network.roots()
    readable += [roots] if roots else []
    settings = {
        "mode": mode,
        "user": user,
        "namespaces": True,
        "workdir": str(workspace),
        "home": str(_package("sandbox").parent),
        "site": sites,
        "readable": readable,
        "writable": [str(workspace), str(temporary)],
    }
    argv = (str(program), *_FLAGS, _BOOT)
    shown = tuple((folder, str(folder.resolve())) for folder in folders)
    env = _environment(str(workspace), str(temporary), path, sites) | network.trust(roots)
    return Launch(argv, env, settings, str(workspace), shown)


def cold(workspace: Path, temporary: Path, policy: Policy) -> Launch:
    """Return how to start a single job where there are no boxes (rung D); what may be read is in its settings."""
    whole = without_bubblewrap("cold", workspace, temporary, policy)
    boot = _BOOT.replace("sandbox.worker", "sandbox.cold")
    return replace(whole, argv=(*whole.argv[:-1], boot))


def _without_the_product(site: Path) -> list[str]:
    if not (site / "agent").is_dir():
        return [str(site)]
    return [str(site / name) for name in os.listdir(site) if name != "agent"]  # noqa: PTH208
