"""What a sandboxed process may not ask of the kernel. Read by `build.py` only.

Numbers are those of the kernel's unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64); None where there is none.
"""

from __future__ import annotations

Numbers = dict[str, tuple[int | None, int | None]]

# Refused with EPERM.
DENIED: Numbers = {
    # another view of the file system
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
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    # other namespaces
    "setns": (308, 268),
    "unshare": (272, 97),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # parts of the kernel with a long record of faults, and its keys
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
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "personality": (135, 92),
    # the machine
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    # memory that outlives the process and that nobody counts
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
# Answered with ENOSYS, on which libraries fall back: clone3 hides its flags from the filter, io_uring goes around it,
# and memory files escape simple memory accounting.
ABSENT: Numbers = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "openat2": (437, 437),  # hides the mode of a new file from the filter
    "fchmodat2": (452, 452),
}

# Where a job shares the host's mounts. Landlock does not see these.
OWNERS: Numbers = {
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
MODES_AND_TIMES: Numbers = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
# Where a job shares the host's mounts: it would tell what happens in folders that the job may not open.
WATCHING = (254, 27)  # inotify_add_watch
# How other processes run, the init above all. The first argument must be 0, which is the caller itself.
RUNNING: Numbers = {
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}
# The same, with what the second argument is about in the first: a process, which must be 0 as well.
RANKS: tuple[tuple[tuple[int, int], int], ...] = (((141, 140), 0), ((251, 30), 1))  # setpriority, ioprio_set

SOCKET, SOCKETPAIR = (41, 198), (53, 199)
IOCTL, CLONE, PRLIMIT = (16, 29), (56, 220), (302, 261)

# Calls that give a file its mode: the numbers, which argument is the mode, and which one says whether it counts.
# A set-uid file in a workspace would be a trap for whoever runs it on the host.
MODES: tuple[tuple[tuple[int | None, int | None], int, int | None], ...] = (
    ((90, None), 1, None),  # chmod
    ((91, 52), 1, None),  # fchmod
    ((268, 53), 2, None),  # fchmodat
    ((133, None), 1, None),  # mknod
    ((259, 33), 2, None),  # mknodat
    ((85, None), 1, None),  # creat
    ((2, None), 2, 1),  # open
    ((257, 56), 3, 2),  # openat
)
SET_ID, MAKES_FILE = 0o6000, 0x400040  # O_CREAT, O_TMPFILE

NAMESPACES = 0x7E020000  # the CLONE_NEW* flags; that of time shares its bits with the signal number and needs clone3
TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into somebody's terminal
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_TYPE_MASK = 1, 0xF
TCP_PROTOCOLS = (0, 6)
# Where the network is one of the box's own. Not among them: packets, vsock (which is no part of a network namespace),
# and the rest of the seldom used families, several with a record of faults.
OWN_FAMILIES = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32 = 0x40000000
