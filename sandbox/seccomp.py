"""Puts a filter on system calls on this process and all it will start. The programs come from `sandbox/filters`."""

from __future__ import annotations

import ctypes
import os

from sandbox import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.filters.build import Network

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_INSTRUCTION_BYTES = 8


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _file(network: Network) -> str:
    return f"{__file__.rpartition('/')[0]}/filters/{os.uname().machine}-{network}.bpf"


def supported() -> bool:
    """Tell whether there is a filter for this machine."""
    return os.path.isfile(_file("own"))  # noqa: PTH113 - no pathlib here


def install(network: Network) -> None:
    """Put a filter on; it cannot be taken off, only others added. Raises OSError.

    `network`: `own` where the box has a network namespace, `tcp` for TCP only, `none` for connected pairs only.
    """
    with open(_file(network), "rb") as file:  # noqa: PTH123 - no pathlib here
        code = file.read()
    program = _Program(len(code) // _INSTRUCTION_BYTES, code)
    kernel.no_new_privileges()
    kernel.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))
