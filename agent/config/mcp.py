"""Servers of tools that speak MCP, one table each: `[mcp.NAME]` in dirigent.toml."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

NAME = r"[a-z][a-z0-9_-]{0,31}"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
OURS = ("DIRIGENT_", "OPENAI_", "LD_", "PYTHON")
HOST = re.compile(r"(\*\.)?[A-Za-z0-9._\[\]:-]+")
WHAT_NAMES_ARE = "a name of small letters, digits, - and _ that begins with a letter (up to 32)"


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise ValueError(f"must be {WHAT_NAMES_ARE}")
    return value


def _host(value: str) -> str:
    if not HOST.fullmatch(value):
        raise ValueError("must be a host such as api.example.org, api.example.org:8443 or *.example.org")
    return value


Name = Annotated[str, AfterValidator(_name)]
Host = Annotated[str, AfterValidator(_host)]


class McpServer(BaseModel):
    """A server of tools: a `command` that runs in the sandbox, or a `url`. Exactly one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    command: tuple[str, ...] = ()
    """The program and its arguments; it runs in the session's sandbox, in the session's files."""
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@]+(/\S*)?$")] = ""
    """Where the server is reached over HTTP. Its address has to be public, unless `private` is true. One that ends in
    `/sse` is spoken to as servers were before 2025."""
    private: bool = False
    """The `url` may be an address of this machine or its network."""
    bearer: str = ""
    """Name of the secret that is sent to the `url` as `Authorization: Bearer …`."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Header → name of the secret that is sent in it to the `url`."""
    secrets: tuple[str, ...] = ()
    """Names of secrets that the `command` finds as variables of the same name."""
    env: tuple[str, ...] = ()
    """Names of variables of Dirigent's own environment that the `command` gets as well."""
    network: tuple[Host, ...] = ()
    """Hosts that the `command` may reach, as `host`, `host:port` or `*.host`."""
    folders: tuple[str, ...] = ()
    """Folders of this machine that the `command` needs, such as that of its program; everything inside can read them.
    What lies in /usr, and the libraries of Dirigent's own Python, are there anyway."""
    tools: tuple[str, ...] = ("*",)
    """Tools that may be used, by the server's own names."""
    denied: tuple[str, ...] = ()
    """Tools that may not be used."""
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Seconds that one call may take."""
    start_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds that the server may take until it has listed its tools."""
    idle_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """Seconds without a call after which a session's server is ended."""
    enabled: bool = True
    """False leaves the server out without forgetting it."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError('needs either command = ["program", …] or url = "https://…"')
        if self.command and not self.command[0].strip():
            raise ValueError("command begins with the name of a program")
        self._check_belongings()
        for name in (*self.env, *self.shown_secrets):
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name (env, secrets, bearer and headers hold names, no values)")
        for name in self.env:
            if name.upper().startswith(OURS):
                raise ValueError(f"env may not hold {name}, which is Dirigent's own; give it a secret by `secrets`")
        return self

    def _check_belongings(self) -> None:
        of_url = {"bearer": self.bearer, "headers": self.headers, "private": self.private}
        of_command = {"secrets": self.secrets, "env": self.env, "network": self.network, "folders": self.folders}
        for name, value in (of_url if self.command else of_command).items():
            if value:
                raise ValueError(f"{name} is for a server with a {'url' if self.command else 'command'}")

    @property
    def shown_secrets(self) -> tuple[str, ...]:
        """Names of all secrets that the server gets."""
        return tuple(dict.fromkeys([*self.secrets, *([self.bearer] if self.bearer else []), *self.headers.values()]))

    @property
    def local(self) -> bool:
        """True when it runs in the sandbox."""
        return bool(self.command)
