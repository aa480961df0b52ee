"""The filter on system calls: a deny list in classic BPF, assembled here for x86_64 and aarch64.

A filter sees registers, not memory, and compares 32 bits at a time, so every test below is on the low half of an
argument, which is all the kernel itself uses of those arguments.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass

from sandbox import kernel

# name: (x86_64, aarch64), None where it does not exist; from the kernel's unistd_64.h and asm-generic/unistd.h
_DENIED: dict[str, tuple[int, int | None]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
}
# Libraries fall back when these do not exist: clone3 hides its flags from the filter, io_uring goes around it, and
# memory files escape simple memory accounting.
_ABSENT: dict[str, tuple[int, int | None]] = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
_SYSV: dict[str, tuple[int, int | None]] = {"shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190)}
_SOCKET, _SOCKETPAIR, _IOCTL, _CLONE, _PRLIMIT = (41, 198), (53, 199), (16, 29), (56, 220), (302, 261)
_ARCHITECTURE = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag, time namespace included
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_UNIX = 1
_ODD_FAMILIES = (17, 31, 38, 40, 44)  # packet, bluetooth, alg, vsock, xdp
_X32 = 0x40000000

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


@dataclass(frozen=True, slots=True)
class _Instruction:
    code: int
    k: int
    yes: int = 0
    no: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.yes, self.no, self.k)


def _fail(code: int) -> _Instruction:
    return _Instruction(_RETURN, _ERRNO | code)


def _argument(index: int) -> _Instruction:
    return _Instruction(_LOAD, 16 + 8 * index)


def _when(number: int, body: list[_Instruction]) -> list[_Instruction]:
    return [_Instruction(_JEQ, number, 0, len(body)), *body]


def supported() -> bool:
    """Tell whether a filter can be assembled for this machine."""
    return platform.machine() in _ARCHITECTURE


def _on_arguments(column: int, *, sockets: bool) -> list[_Instruction]:
    """Return the rules that look at an argument. Each body ends by itself: the accumulator is no longer the number."""
    allow = _Instruction(_RETURN, _ALLOW)
    denied = _fail(errno.EACCES)
    rules: list[_Instruction] = []
    if sockets:
        families = [part for family in _ODD_FAMILIES for part in _when(family, [denied])]
        rules += _when(_SOCKET[column], [_argument(0), *families, allow])
    else:
        rules += _when(_SOCKET[column], [denied])
        rules += _when(_SOCKETPAIR[column], [_argument(0), *_when(_AF_UNIX, [allow]), denied])
    terminal = [*_when(_TIOCSTI, [_fail(errno.EPERM)]), *_when(_TIOCLINUX, [_fail(errno.EPERM)])]
    rules += _when(_IOCTL[column], [_argument(1), *terminal, allow])
    rules += _when(_CLONE[column], [_argument(0), _Instruction(_JSET, _NAMESPACES, 0, 1), _fail(errno.EPERM), allow])
    return rules + _when(_PRLIMIT[column], [_argument(0), *_when(0, [allow]), _fail(errno.EPERM)])


def assemble(machine: str, *, sockets: bool) -> bytes:
    """Return the filter for `machine`. `sockets=False` forbids making any socket but a connected pair.

    Raises KeyError for a machine that is neither x86_64 nor aarch64.
    """
    column, audit = _ARCHITECTURE[machine]
    program = [_Instruction(_LOAD, 4), _Instruction(_JEQ, audit, 1, 0), _fail(errno.ENOSYS), _Instruction(_LOAD, 0)]
    if machine == "x86_64":
        program += [_Instruction(_JGE, _X32, 0, 1), _fail(errno.ENOSYS)]
    denied = _DENIED if sockets else {**_DENIED, **_SYSV}
    for table, code in ((denied, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                program += _when(number, [_fail(code)])
    program += _on_arguments(column, sockets=sockets)
    program.append(_Instruction(_RETURN, _ALLOW))
    return b"".join(part.packed() for part in program)


def install(*, sockets: bool) -> None:
    """Put the filter on this process and all it will start; it cannot be taken off. Raises OSError."""
    code = assemble(platform.machine(), sockets=sockets)
    program = _Program(len(code) // 8, code)
    kernel.no_new_privileges()
    kernel.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))
