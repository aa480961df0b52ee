"""What has failed and is to be tried again: how often it was tried in vain, and when it is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import DirigentError, may_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRIES = 5
FIRST_PAUSE = 1.0
GROWTH = 4.0
LONGEST_PAUSE = 300.0


class Attempts:
    """Counts attempts by number (an event's, a fire's). `clock` gives seconds since 1970.

    What the machine was in the way of is tried again until it works, with pauses that grow up to five minutes. A fault
    that nobody has foreseen is tried five times. What a person has to put right is not tried again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tried: dict[int, int] = {}
        self._due: dict[int, float] = {}

    @property
    def next_try(self) -> float | None:
        """When the next one is due, in seconds since 1970."""
        return min(self._due.values(), default=None)

    def come_due(self) -> bool:
        """Tell whether some are due now; they count as being tried from here on."""
        now = self._clock()
        due = [number for number, at in self._due.items() if at <= now]
        for number in due:
            del self._due[number]
        return bool(due)

    def is_early(self, number: int) -> bool:
        """Tell whether it was tried in vain and is not due yet."""
        return self._due.get(number, 0.0) > self._clock()

    def failed(self, number: int, faults: Sequence[BaseException]) -> bool:
        """Note that it failed; True when it is to be tried again, False when that is for good."""
        tried = self._tried.get(number, 0) + 1
        unforeseen = any(not isinstance(fault, DirigentError) for fault in faults)
        if not any(map(may_pass, faults)) and not (unforeseen and tried < TRIES):
            self.forget(number)
            return False
        self._tried[number] = tried
        self._due[number] = self._clock() + min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH ** min(tried - 1, 10))
        return True

    def forget(self, number: int) -> None:
        """Forget one that has worked, or was given up."""
        self._tried.pop(number, None)
        self._due.pop(number, None)
