"""Landlock: a process gives up files, TCP and signals beyond what a rule set names.

Used in two ways: as the wall itself where bubblewrap is missing (rung C), and inside bubblewrap as a fence between the
jobs of one box, since a process cannot read the memory or environment of one outside its own domain.
"""

from __future__ import annotations

import ctypes
import os
import stat

from sandbox import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH, _NET_PORT = 1, 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ALL_FILES = (1 << 16) - 1
_ON_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2

READ = _EXECUTE | _READ_FILE | _READ_DIR
WRITE = _ALL_FILES & ~(_MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _IOCTL_DEV)
DEVICE = _READ_FILE | _WRITE_FILE

WALL_ABI = 6  # the first that also scopes signals, so that a job cannot kill the owner's other programs


class _Attributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _PortRule(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """Return the version of Landlock that this kernel offers, 0 for none."""
    try:
        return kernel.syscall(_CREATE, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def _create(files: int, net: int, scoped: int) -> int:
    attributes = _Attributes(files, net, scoped)
    version = abi()
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    return kernel.syscall(_CREATE, ctypes.byref(attributes), size, 0)


def _allow(rules: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _ON_A_FILE
        rule = _PathRule(access, descriptor)
        kernel.syscall(_ADD, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def wall(allowed: Iterable[tuple[str, int]]) -> int:
    """Return a rule set (a descriptor) that allows only the given paths (each with READ, WRITE or DEVICE), no TCP,
    and no signal beyond the job. Paths that do not exist are left out. Raises OSError."""  # noqa: D205, D209
    rules = _create(_ALL_FILES, _BIND_TCP | _CONNECT_TCP, _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL)
    for path, access in allowed:
        try:
            _allow(rules, path, access)
        except FileNotFoundError:
            continue
    return rules


def allow_port(rules: int, port: int) -> None:
    """Let a rule set also connect to one TCP port, of any address: the network must be the box's own."""
    rule = _PortRule(_CONNECT_TCP, port)
    kernel.syscall(_ADD, rules, _NET_PORT, ctypes.byref(rule), 0)


def fence() -> int | None:
    """Return a rule set that takes nothing away but the reach into other jobs; None where Landlock is missing."""
    version = abi()
    if version < 2:
        return None
    rules = _create(_REFER, 0, _SCOPE_SIGNAL if version >= WALL_ABI else 0)
    _allow(rules, "/", _REFER)
    return rules


def restrict(rules: int) -> None:
    """Enter a new domain under `rules`, for good."""
    kernel.no_new_privileges()
    kernel.syscall(_RESTRICT, rules, 0)
