"""`@tool`, `@command` and `@service`: a function becomes one, or a sentence says what to change."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, overload

from plugins.api.records import PluginError
from plugins.api.spec import Cost, Effect, ServiceSpec, ToolSpec, context_parameter

EffectOrRecovery = Literal["pure", "read", "write_inside", "effect", "once", "idempotent"]
Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__dirigent__"
NOT_DECLARED = {"plugin", "reaches", "function_name", "schema", "takes_context"}  # of ToolSpec, what is set elsewhere
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
COMMAND_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
SLOT = re.compile(r"\{(\w+)\}")


def _declare(function: Callable[..., Any], name: str, effect: EffectOrRecovery | None, options: dict[str, Any]) -> None:
    where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
    if not inspect.isroutine(function):
        raise PluginError(f"{where}: only a function can be a tool or a command.")
    description = inspect.getdoc(function)
    if not description:
        raise PluginError(f"{where}: give it a docstring; its first line tells the planner what the tool does.")
    if effect is not None and effect not in get_args(EffectOrRecovery):
        raise PluginError(f"{where}: effect={effect!r} is not one of {', '.join(get_args(EffectOrRecovery))}.")
    once = effect == "once"
    plain: Effect = "effect" if effect in ("once", "idempotent") else effect  # type: ignore[assignment]
    if effect is None:
        # Without the network a sandboxed tool can change nothing but its workspace; with it, expect the worst.
        plain = "effect" if options.get("network") or options.get("host") else "write_inside"
    if plain in {"pure", "write_inside"} and options.get("network"):
        raise PluginError(
            f"{where}: effect={plain!r} and the network do not go together. A tool that asks outside is effect='read', "
            "with egress=(…) naming the arguments that it sends; one that changes something there is 'effect'."
        )
    if options.get("confides") and not options.get("host"):
        raise PluginError(f"{where}: confides=True needs host=True: nobody could tell where else a tool inside sends.")
    if plain == "effect" and effect != "idempotent":
        once = True
    spec = ToolSpec(
        name=name,
        function=function,
        description=description,
        effect=plain,
        once=once,
        **_settled(where, options),
    )
    _check_name(where, spec)
    _check_parameters(where, spec)
    setattr(function, MARK, spec)


def _settled(where: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with lists as tuples; a lone string is one entry, not its letters."""
    known = {f.name: f for f in fields(ToolSpec)}
    settled = {}
    for key, value in options.items():
        if key not in known or key in NOT_DECLARED:
            near = difflib.get_close_matches(key, known.keys() - NOT_DECLARED, n=1)
            raise PluginError(f"{where}: unknown option '{key}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        several = known[key].default == ()
        settled[key] = _several(value) if several else value
    return settled


def _check_name(where: str, spec: ToolSpec) -> None:
    if not TOOL_NAME.fullmatch(spec.name):
        raise PluginError(
            f"{where}: the name {spec.name!r} must start with a letter and hold letters, digits, _ and -."
        )
    if spec.command and not COMMAND_NAME.fullmatch(spec.command):
        raise PluginError(f"{where}: the command {spec.command!r} must be lower case letters, digits and _ (up to 32).")
    if not isinstance(spec.timeout, (int, float)) or not spec.timeout > 0:
        raise PluginError(f"{where}: timeout={spec.timeout!r} must be a number of seconds above 0.")
    if not callable(spec.cost) and (not isinstance(spec.cost, (int, float)) or not 0 <= spec.cost < math.inf):
        raise PluginError(f"{where}: cost={spec.cost!r} must be US dollars from 0 up, or a function that returns them.")


def _check_parameters(where: str, spec: ToolSpec) -> None:
    skip = context_parameter(spec.function)
    parameters = [p for p in inspect.signature(spec.function).parameters.values() if p.name != skip]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(f"{where}: '*' parameters can't be described; name each parameter.")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise PluginError(f"{where}: '{parameter.name}' must be callable by name; remove the '/'.")
        if parameter.annotation is parameter.empty:
            raise PluginError(f"{where}: parameter '{parameter.name}' needs a type annotation.")
    names = {parameter.name for parameter in parameters}
    for option in ("egress", "content_args"):
        _check_known(where, f"{option} names", set(getattr(spec, option)) - names, names)
    slots = {slot for example in spec.examples for slot in SLOT.findall(example)}
    _check_known(where, "an example names", slots - names, names)


def _check_known(where: str, what: str, unknown: set[str], names: set[str]) -> None:
    if unknown:
        listed = ", ".join(sorted(names)) or "none"
        raise PluginError(f"{where}: {what} '{min(unknown)}', which is no parameter. Its parameters: {listed}.")


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(
    *,
    name: str = "",
    effect: EffectOrRecovery | None = None,
    host: bool = False,
    untrusted: bool = False,
    egress: tuple[str, ...] | list[str] = (),
    content_args: tuple[str, ...] | list[str] = (),
    network: tuple[str, ...] | list[str] = (),
    secrets: tuple[str, ...] | list[str] = (),
    timeout: float = 60.0,
    produces: tuple[str, ...] | list[str] = (),
    examples: tuple[str, ...] | list[str] = (),
    data: bool = False,
    reads_all: bool = False,
    cost: float | Cost = 0.0,
    standing: bool = False,
    keeps_files: bool = False,
    strict: bool = False,
    private: bool = False,
    confides: bool = False,
) -> Callable[[Function], Function]: ...


def tool(
    function: Function | None = None,
    /,
    *,
    name: str = "",
    effect: EffectOrRecovery | None = None,
    **options: Any,
) -> Any:
    """Make a function a tool. Without arguments it runs in the sandbox, without network, and may write its workspace.

    `effect` is one of ToolSpec's, or `once` / `idempotent` for an effect whose repetition after a crash is dangerous /
    harmless. `host=True` runs it in the agent's own process (only for plugins that the owner trusts fully). `data=True`
    asks for the worker that has the data libraries imported. `reads_all=True` says that it may read any file of the
    workspace, whatever files it names: its result carries all their labels. `cost` is what a call costs at most, in US
    dollars, or a function of (settings, arguments) that returns it: so much is set aside before the call.
    `standing=True` admits that the owner agrees to enumerated calls beforehand. `strict=True` says that it pays,
    deletes, installs, or touches credentials or schedules. `private=True` says that its output is the person's own,
    `confides=True` (with `host=True`) that what it sends goes only to a server that the owner has set up for it.
    """

    def mark(inner: Function) -> Function:
        _declare(inner, name or getattr(inner, "__name__", ""), effect, options)
        return inner

    return mark(function) if function is not None else mark


def command(
    name: str,
    /,
    *,
    effect: EffectOrRecovery | None = None,
    **options: Any,
) -> Callable[[Function], Function]:
    """Make a function a chat command `/name`, which is also a tool of that name. Options are those of `tool`."""

    def mark(inner: Function) -> Function:
        _declare(inner, name, effect, {**options, "command": name})
        return inner

    return mark


def spec_of(function: object) -> ToolSpec | None:
    """Return what `@tool` or `@command` attached to a function, or None."""
    spec = getattr(function, MARK, None)
    return spec if isinstance(spec, ToolSpec) else None


def service_of(function: object) -> ServiceSpec | None:
    """Return what `@service` attached to a function, or None."""
    spec = getattr(function, MARK, None)
    return spec if isinstance(spec, ServiceSpec) else None


@overload
def service(function: Function, /) -> Function: ...


@overload
def service(
    *,
    name: str = "",
    secrets: tuple[str, ...] | list[str] = (),
    settings: tuple[str, ...] | list[str] = (),
) -> Callable[[Function], Function]: ...


def service(
    function: Function | None = None,
    /,
    *,
    name: str = "",
    secrets: tuple[str, ...] | list[str] = (),
    settings: tuple[str, ...] | list[str] = (),
) -> Any:
    """Make an asynchronous generator function a service: what host tools share, such as a client with its connections.

    It takes a `ServiceContext` and yields the instance once; what follows the `yield` closes it. It is made when it is
    first asked for (`await ctx.service("name")`), once for the same settings, and kept until the program ends::

        @service(secrets=["shop_token"], settings=["url"])
        async def shop(ctx: ServiceContext) -> AsyncIterator[Client]:
            \"\"\"The shop's client.\"\"\"
            async with Client(ctx.settings["url"], ctx.secret("shop_token")) as client:
                yield client
    """

    def mark(inner: Function) -> Function:
        where = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', inner)}"
        called, about = name or getattr(inner, "__name__", ""), inspect.getdoc(inner) or ""
        spec = ServiceSpec(called, inner, about, secrets=_several(secrets), settings=_several(settings))
        _check_service(where, spec)
        setattr(inner, MARK, spec)
        return inner

    return mark(function) if function is not None else mark


def _several(given: Any) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _check_service(where: str, spec: ServiceSpec) -> None:
    if not inspect.isasyncgenfunction(spec.function):
        raise PluginError(f"{where}: a service is an `async def` that yields its instance once.")
    if not spec.description:
        raise PluginError(f"{where}: give it a docstring; its first line says what the service is.")
    if len(inspect.signature(spec.function).parameters) != 1:
        raise PluginError(f"{where}: a service takes one parameter, its context.")
    if not TOOL_NAME.fullmatch(spec.name):
        raise PluginError(
            f"{where}: the name {spec.name!r} must start with a letter and hold letters, digits, _ and -."
        )
