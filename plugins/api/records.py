"""The records of plugins: what they return, what marks their parameters, their UI, and what they raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


class PluginError(Exception):
    """A plugin is declared wrongly. The message names the function and what to change."""


class ToolFailure(Exception):
    """Raise this in a tool to fail with a sentence for the person; `hint` says the way on. No traceback is shown."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class File:
    """Marks a parameter as a workspace path: `path: Annotated[str, File(".csv", ".xlsx")]`. No suffix means any file.

    The offline planner fills it with a file that the request names, or with one that an earlier step produces.
    """

    suffixes: tuple[str, ...] = ()

    def __init__(self, *suffixes: str) -> None:
        object.__setattr__(self, "suffixes", suffixes)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Says what words may fill a text parameter without a model: `sum: Annotated[str, Pattern(r"[0-9+*/ -]+")]`.

    The offline planner passes over a phrase whose words do not match the whole regular expression (any case). It is no
    check: a model's or a command's value is handed over as it is.
    """

    expression: str


@dataclass(frozen=True, slots=True)
class ServiceName:
    """Marks a text parameter as the name of a service: `service: Annotated[str, ServiceName("tickets")] = ""`.

    A pipeline gives names to services under `services:`; what is said here is the service that they must stand for.
    """

    service: str


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool returns when a plain value is not enough.

    `value` (any JSON) is what references see as `{{ step.output }}`; `text` is what people and models read; `files` are
    workspace paths to be handed over. `partial` says that something is missing; `text` then says what. `cost` is what
    the call has cost, in US dollars; None means as much as its tool's `cost` says.
    """

    value: Any = None
    text: str = ""
    files: tuple[str, ...] = ()
    partial: bool = False
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """A button: what it says and the chat text or command that it stands for."""

    label: str
    action: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. `kind`: text, number, date, choice, file."""

    name: str
    label: str
    kind: Literal["text", "number", "date", "choice", "file"] = "text"
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """Asks for several values, then runs `command` with them."""

    title: str
    command: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Menu:
    """A titled set of buttons."""

    title: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Plugin:
    """Optional, as the module's variable `plugin`: names the plugin and declares its UI and settings.

    `settings` maps a setting's name to its explanation; the owner sets it under `[plugins.NAME]` in dirigent.toml.
    """

    name: str = ""
    summary: str = ""
    version: str = ""
    ui: tuple[Menu | Form, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
