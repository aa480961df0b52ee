"""The few Linux calls that Python's library lacks, through ctypes. Each raises OSError as `os.*` would.

Nothing is called at import; on another system than Linux the calls raise OSError(ENOSYS).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import socket
import struct
import sys

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 1, 2, 4, 8

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_PR_CAPBSET_DROP = 24
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_OPENAT2, _MOUNT_SETATTR = 437, 442
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1
_CAPABILITY_VERSION_3 = 0x20080522


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@functools.cache
def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "this call exists on Linux only")
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str = "") -> int:
    """Return the result of a C call, or raise the OSError that its errno stands for."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what or None)
    return result


def syscall(number: int, *arguments: object) -> int:
    """Make a system call by number; integers go as 64 bits."""
    packed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(int(_libc().syscall(ctypes.c_long(number), *packed)))


def openat2(folder: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` below the directory descriptor `folder`; `resolve` forbids links and ways out. Linux 5.6."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    raw = os.fsencode(path)
    return syscall(_OPENAT2, folder, ctypes.c_char_p(raw), ctypes.byref(how), ctypes.sizeof(how))


def has_openat2() -> bool:
    """Tell whether the kernel has that call and lets this process use it."""
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(openat2(root, ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0, RESOLVE_BENEATH))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def prctl(option: int, argument: int, further: int = 0) -> None:
    """Call prctl with one or two arguments."""
    zero = ctypes.c_ulong(0)
    checked(int(_libc().prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(further), zero, zero)), "prctl")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    prctl(_PR_SET_PDEATHSIG, 9)


def set_dumpable(*, allowed: bool) -> None:
    """Allow or forbid other processes of the same user to read this one's memory and environment."""
    prctl(_PR_SET_DUMPABLE, int(allowed))


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ended."""
    prctl(_PR_SET_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Give up set-uid programs for this process and all it starts."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`."""
    checked(int(_libc().unshare(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """Mount a file system."""
    raw = [ctypes.c_char_p(os.fsencode(part)) for part in (source, target, kind)]
    checked(int(_libc().mount(*raw, ctypes.c_ulong(flags), None)), target)


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "users"))


def set_read_only(path: str, *, on: bool) -> None:
    """Make the mount at `path` read-only with all below it, or the one at `path` writable again. Linux 5.12."""
    wanted = _MountAttributes(set=_MOUNT_ATTR_RDONLY) if on else _MountAttributes(clear=_MOUNT_ATTR_RDONLY)
    flags = _AT_RECURSIVE if on else 0
    raw = ctypes.c_char_p(os.fsencode(path))
    syscall(_MOUNT_SETATTR, _AT_FDCWD, raw, flags, ctypes.byref(wanted), ctypes.sizeof(wanted))


def drop_bounding_set() -> None:
    """Give up what a later exec as root would bring back, as far as this process may."""
    for number in range(64):
        try:
            prctl(_PR_CAPBSET_DROP, number)
        except OSError:  # beyond the last one this kernel knows, or not held
            break


def drop_capabilities() -> None:
    """Give up every capability."""
    drop_bounding_set()
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    checked(int(_libc().capset(header, (ctypes.c_uint32 * 6)())), "capset")


def loopback_up() -> None:
    """Start the loopback interface of a network namespace that was just made."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(asking, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(asking, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
