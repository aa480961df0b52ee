"""`dirigent service`: a unit for systemd, made for this installation."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse

EXAMPLES = """\
examples:
  dirigent service | sudo tee /etc/systemd/system/dirigent.service
  sudo systemctl daemon-reload && sudo systemctl enable --now dirigent
  journalctl -u dirigent -f
  dirigent service --worker | sudo tee /etc/systemd/system/dirigent-worker.service       of a host that only works

It runs as you, starts with the machine, comes back after a crash, and may write its home only. Secrets lie in secrets/
of the home (`dirigent init` puts them there). An update: `git pull && sudo systemctl restart dirigent`; what is
unfinished goes on.
"""

STOP_SECONDS = 30
# bubblewrap needs user namespaces and mounts of its own, so what forbids them is left out; it has walls of its own.
UNIT = """\
[Unit]
Description=Dirigent, a planning agent
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
WorkingDirectory={root}
Environment="DIRIGENT_HOME={home}"
ExecStart={command} {what}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
TimeoutStopSec={seconds:.0f}
KillMode=mixed
Delegate=memory pids
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ReadWritePaths="{home}"
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
CapabilityBoundingSet=
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--user", default="", help="who it runs as (default: you)")
    made.add_argument("--worker", action="store_true", help="a unit for `dirigent worker` instead of `serve`")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Print the unit. Raises ConfigError for settings that could not be served, and for root."""
    from agent.cli.opening import open_config

    config = open_config(arguments)
    user = arguments.user or getpass.getuser()
    if user == "root":
        raise ConfigError(
            "It should not run as root.", hint="Make a user for it, and name it: dirigent service --user NAME"
        )
    root = Path(__file__).resolve().parents[2]
    drain = config.workers.drain_seconds if arguments.worker else None
    print(unit(user, config.folder, root, drain), end="")
    return 0


def unit(user: str, home: Path, root: Path, drain: float | None = None) -> str:
    """Return the unit for a home, and a checkout or an installed package at `root`. Raises ConfigError.

    With `drain` it is a worker's, whose runs go on for so many seconds when it is stopped.
    """
    for path in (home, root):
        if any(sign in str(path) for sign in '"\\\n%$'):
            raise ConfigError(f"{path} holds a sign that systemd reads otherwise.", hint="Choose a plainer folder.")
    wrapper = root / "dirigent"
    command = f'"{wrapper}"' if wrapper.is_file() else f'"{sys.executable}" -P -m agent'
    place = root if wrapper.is_file() else home
    what = "serve" if drain is None else "worker"
    seconds = STOP_SECONDS + (drain or 0.0)
    return UNIT.format(user=user, home=home, root=place, command=command, what=what, seconds=seconds)
