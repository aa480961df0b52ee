"""What host tools share: each service is made when it is first asked for, once, and kept until the program ends.

Every service lives in a task of its own, which makes it, waits, and closes it: libraries demand that what was opened in
one task is closed in the same, and a call that is given up must not take down what others wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import traceback
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.errors import ToolUnknown, reference_id
from plugins.api import ToolFailure

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from plugins.api import ServiceSpec

MAKING_SECONDS = 300.0
CLOSING_SECONDS = 10.0
NUMBERS = itertools.count(1)
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Named:
    """A name that a pipeline gives to a service: what it stands for, and the settings that it has there."""

    use: str
    settings: Mapping[str, str]


def named_services(given: Mapping[str, Any]) -> dict[str, Named]:
    """Return the names of a run's pipeline from what it was opened with (`Run.given`)."""
    found = given.get("services") or {}
    return {name: Named(str(one["use"]), dict(one.get("settings") or {})) for name, one in found.items()}


class Services:
    """The shared instances. Use it from one event loop; `close` ends them all."""

    def __init__(self, config: AppConfig, catalogue: Catalogue) -> None:
        self._config = config
        self._catalogue = catalogue
        self._kept: dict[Key, _Kept] = {}
        self._waits: dict[Key, set[Key]] = {}
        self._closed = False

    def spec(self, name: str, plugin: str, names: Mapping[str, Named]) -> tuple[ServiceSpec, Mapping[str, str]]:
        """Return the service that a tool of a plugin means by a name, and what the run's pipeline sets for it.

        Raises ToolFailure when there is none.
        """
        named = names.get(name, Named(name, {}))
        try:
            return self._catalogue.service(named.use, plugin), named.settings
        except ToolUnknown as unknown:
            listed = f" This pipeline names {', '.join(names)}." if names else ""
            raise ToolFailure(unknown.message, hint=f"{unknown.hint}{listed}") from None

    async def get(self, spec: ServiceSpec, settings: Mapping[str, str], *, asker: Key | None = None) -> Any:
        """Return the one instance of a service with these settings (beside its plugin's); make it when there is none.

        Whoever asks meanwhile gets the same. When making it fails, all who wait are told why, and the next who asks
        tries again. Raises ToolFailure.
        """
        if self._closed:
            raise ToolFailure(f"The service {spec.full_name} has ended.", hint="Dirigent is being stopped.")
        whole = {**self._config.plugins.get(spec.plugin, {}), **settings}
        key = (spec.full_name, tuple(sorted(whole.items())))
        kept = self._kept.get(key)
        if kept is None or kept.failed:
            kept = self._kept[key] = _Kept(spec, _Surroundings(self, spec, whole, self._secrets(spec), key))
            kept.task.add_done_callback(lambda _task: self._forget(key, kept))
        if asker is None:
            return await kept.instance()
        if self._leads_to(key, asker):
            raise ToolFailure(f"Services ask for each other in a circle: {asker[0]} → {spec.full_name} → {asker[0]}.")
        self._waits.setdefault(asker, set()).add(key)
        try:
            return await kept.instance()
        finally:
            self._waits[asker].discard(key)

    async def close(self) -> None:
        """Close every service, the newest first, each within a time limit; one that hangs is cancelled."""
        self._closed = True
        # What a service asked for was ready before it was.
        kept = sorted(self._kept.values(), key=lambda one: one.number, reverse=True)
        try:
            for one in kept:
                await one.close()
        finally:
            left = [one.task for one in kept if not one.task.done()]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=CLOSING_SECONDS)
            self._kept.clear()

    def secrets(self) -> list[str]:
        """Return every secret that a service may read, for hiding them in what calls say."""
        return [value for spec in self._catalogue.services for value in self._secrets(spec).values()]

    def _secrets(self, spec: ServiceSpec) -> dict[str, str]:
        known = self._config.secrets
        return {name: known[name].get_secret_value() for name in spec.secrets if name in known}

    def _forget(self, key: Key, kept: _Kept) -> None:
        if self._kept.get(key) is kept:
            del self._kept[key]

    def _leads_to(self, start: Key, goal: Key) -> bool:
        """Say whether a service waits, through others, for the one that asks."""
        seen, ahead = set[Key](), [start]
        while ahead:
            now = ahead.pop()
            if now == goal:
                return True
            if now not in seen:
                seen.add(now)
                ahead += self._waits.get(now, ())
        return False


class _Surroundings:
    """Implements `plugins.api.ServiceContext`."""

    def __init__(
        self, services: Services, spec: ServiceSpec, settings: Mapping[str, str], secrets: Mapping[str, str], key: Key
    ) -> None:
        self.settings = settings
        self._services = services
        self._spec = spec
        self._secrets = secrets
        self._key = key

    def secret(self, name: str) -> str:
        """Return a declared secret that the owner has set."""
        if name not in self._spec.secrets:
            raise ToolFailure(f"The service {self._spec.full_name} does not declare the secret {name}.")
        if name not in self._secrets:
            raise ToolFailure(f"The secret {name} is not set.", hint=f'Add it under [secrets] as {name} = "…".')
        return self._secrets[name]

    async def service(self, name: str) -> Any:
        """Return another service."""
        spec, settings = self._services.spec(name, self._spec.plugin, {})
        return await self._services.get(spec, settings, asker=self._key)


class _Kept:
    """One instance and the task that it lives in. `number` counts those that became ready; 0 before."""

    def __init__(self, spec: ServiceSpec, ctx: _Surroundings) -> None:
        loop = asyncio.get_running_loop()
        self.number = 0
        self._name = spec.full_name
        self._ready: asyncio.Future[Any] = loop.create_future()
        self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # told to who waits
        self._end = asyncio.Event()
        self.task = loop.create_task(self._live(spec, ctx), name=f"service {spec.full_name}")

    @property
    def failed(self) -> bool:
        """True when it could not be made."""
        return self._ready.done() and self._ready.exception() is not None

    async def instance(self) -> Any:
        """Return the instance when it is there. Raises ToolFailure, a fresh one for each who waits."""
        try:
            return await asyncio.shield(self._ready)
        except ToolFailure as failure:
            raise ToolFailure(failure.message, hint=failure.hint) from failure

    async def close(self) -> None:
        """Have the service closed and wait for that; what takes too long is cancelled."""
        self._end.set()
        if not self._ready.done():
            self.task.cancel()
        done, _ = await asyncio.wait([self.task], timeout=CLOSING_SECONDS)
        if not done:
            logger.warning("the service {} did not close within {:g} s", self._name, CLOSING_SECONDS)
            self.task.cancel()

    async def _live(self, spec: ServiceSpec, ctx: _Surroundings) -> None:
        life: AsyncIterator[Any] = spec.function(ctx)
        try:
            async with asyncio.timeout(MAKING_SECONDS):
                instance = await anext(life)
        except BaseException as problem:
            self._ready.set_exception(self._failure(problem))
            if isinstance(problem, asyncio.CancelledError):
                raise
            return
        self.number = next(NUMBERS)
        self._ready.set_result(instance)
        try:
            await self._end.wait()
        finally:
            await self._finish(life)

    async def _finish(self, life: AsyncIterator[Any]) -> None:
        """Run what stands after the `yield`; what goes wrong there is for the log."""
        try:
            with contextlib.suppress(StopAsyncIteration):
                await anext(life)
                logger.warning("the service {} yields more than once", self._name)
                await life.aclose()  # type: ignore[attr-defined]
        except Exception:
            logger.warning("the service {} could not be closed:\n{}", self._name, traceback.format_exc())

    def _failure(self, problem: BaseException) -> ToolFailure:
        if isinstance(problem, ToolFailure):
            return problem
        if isinstance(problem, asyncio.CancelledError):
            return ToolFailure(f"The service {self._name} was stopped before it was ready.")
        if isinstance(problem, TimeoutError):
            return ToolFailure(f"The service {self._name} was not ready within {MAKING_SECONDS:g} s.")
        if isinstance(problem, StopAsyncIteration):
            return ToolFailure(f"The service {self._name} ended without yielding anything.")
        ref = reference_id()
        logger.error("{} the service {} failed:\n{}", ref, self._name, problem_text(problem))
        said = f"The service {self._name} could not be made: {type(problem).__name__}."
        return ToolFailure(said, hint=f"Reference {ref} in the log.")


def problem_text(problem: BaseException) -> str:
    """Return a problem with where it happened, for the log."""
    return "".join(traceback.format_exception(problem))
