"""Where settings come from: keyword arguments, the environment, secret files, dirigent.toml; and what is wrong.

Nothing here knows the settings themselves: the record class that is passed in says what exists.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

Record = TypeVar("Record", bound=BaseModel)
Path_ = tuple[str, ...]

PREFIX = "DIRIGENT_"
GENERIC_ENV = {"OPENAI_API_KEY": ("openai_api_key",), "OPENAI_BASE_URL": ("openai_base_url",)}
# Read by the `./dirigent` wrapper and by tests, not settings.
OTHER_ENV = frozenset({"DIRIGENT_PYTHON", "DIRIGENT_VENV"})
SECRET_FILE_BYTES = 65_536


@dataclass
class Layers:
    """All settings that were given, nested as the record is, and where each came from. Strongest source wins."""

    record: type[BaseModel]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path_, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def read(self, overrides: Mapping[str, Any]) -> Layers:
        """Read every source, weakest first; problems are collected, not raised."""
        home = Path(
            overrides.get("home") or self.environ.get("DIRIGENT_HOME") or self.record.model_fields["home"].default
        )
        folder = home.expanduser().absolute()
        self._read_secrets_folder(folder / "secrets")
        self._read_toml(folder / "dirigent.toml")
        self._read_env()
        for path, value in _leaves(overrides):
            if value is not None:
                self._put(path, value, "given on the command line")
        return self

    # --- sources ------------------------------------------------------------------------------------------------
    def _read_secrets_folder(self, folder: Path) -> None:
        try:
            files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        except OSError:
            return
        for file in files:
            known = kind_of(self.record, (file.name,))
            path = (file.name,) if known is not None and is_secret(known) else ("secrets", file.name)
            self._put_file(path, file, str(file))

    def _read_toml(self, file: Path) -> None:
        try:
            stored = tomllib.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.",
                hint="Correct the file, or move it away to start with defaults.",
            ) from None
        if "home" in stored:
            self.problems.append(f"home in {file}: the home is where this file lies; set DIRIGENT_HOME instead.")
            del stored["home"]
        for path, value in _leaves(stored):
            if self._names_a_file(path):
                self._put_file((*path[:-1], path[-1][: -len("_file")]), file.parent / str(value), str(file))
            else:
                self._put(path, value, str(file))

    def _read_env(self) -> None:
        names = sorted(name for name, value in self.environ.items() if value)
        ours = {name: env_path(name) for name in names if name.startswith(PREFIX) and name not in OTHER_ENV}
        for name in sorted(GENERIC_ENV):
            if self.environ.get(f"{name}_FILE"):
                self._put_file(GENERIC_ENV[name], Path(self.environ[f"{name}_FILE"]), f"{name}_FILE")
        secret_files = {name: path for name, path in ours.items() if self._names_a_file(path)}
        for name, path in secret_files.items():
            base = (*path[:-1], path[-1][: -len("_file")])
            self._put_file(base, Path(self.environ[name]), name)
        for name, path in GENERIC_ENV.items():
            if self.environ.get(name):
                self._put(path, self.environ[name], name)
        for name, path in ours.items():
            if name not in secret_files:
                for leaf, value in _leaves_of(path, self._from_text(path, self.environ[name], name)):
                    self._put(leaf, value, name, env=True)

    # --- one value ----------------------------------------------------------------------------------------------
    def _put(self, path: Path_, value: Any, where: str, *, env: bool = False) -> None:
        if kind_of(self.record, path) is None:
            self.problems.append(self._unknown(path, where, env=env))
            return
        inner = self.values
        for part in path[:-1]:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[path[-1]] = value
        self.origins[path] = where

    def _put_file(self, path: Path_, file: Path, where: str) -> None:
        try:
            with file.expanduser().open("rb") as stream:
                content = stream.read(SECRET_FILE_BYTES).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            self.problems.append(f"{'.'.join(path)} ({where}): the file {file} cannot be read: {reason}.")
            return
        if content:
            self._put(path, content, where if where == str(file) else f"{file}, named by {where}")

    def _names_a_file(self, path: Path_) -> bool:
        if not path[-1].lower().endswith("_file"):
            return False
        kind = kind_of(self.record, (*path[:-1], path[-1][: -len("_file")]))
        return kind is not None and is_secret(kind)

    def _from_text(self, path: Path_, text: str, where: str) -> Any:
        kind = kind_of(self.record, path)
        origin = get_origin(kind)
        try:
            if origin is dict or (origin is tuple and text.lstrip().startswith("[")):
                return json.loads(text)
        except json.JSONDecodeError:
            self.problems.append(f"{where}: must be JSON.")
            return {}
        if origin is tuple:
            return [part.strip() for part in text.split(",") if part.strip()]
        return text

    def _unknown(self, path: Path_, where: str, *, env: bool) -> str:
        known = [env_name(p) if env else ".".join(p) for p, _ in settings_of(self.record)]
        named = where if env else ".".join(path)
        near = difflib.get_close_matches(named, known, n=1, cutoff=0.6)
        said = f"{named}: no such setting" if env else f"{named} ({where}): no such setting"
        return f"{said}; did you mean {near[0]}?" if near else f"{said}; `dirigent settings` lists all."


def env_path(name: str) -> Path_:
    """Return the setting that an environment variable names; secrets keep their spelling."""
    parts = name.removeprefix(PREFIX).split("__")
    path = tuple(part.lower() for part in parts)
    return ("secrets", "__".join(parts[1:])) if path[0] == "secrets" and len(parts) > 1 else path


def env_name(path: Path_) -> str:
    """Return the environment variable of a setting: `("limits", "steps")` → `DIRIGENT_LIMITS__STEPS`."""
    return PREFIX + "__".join(path).upper()


def kind_of(record: type[BaseModel], path: Path_) -> Any:
    """Return the type of the setting at `path`, or None when there is none."""
    kind: Any = record
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found = kind.model_fields.get(part)
            kind = found.annotation if found else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
    return kind


def is_secret(kind: Any) -> bool:
    """Return whether a type holds a secret, directly, as an option or as a dictionary's values."""
    return kind is SecretStr or any(is_secret(part) for part in get_args(kind))


def settings_of(record: type[BaseModel], above: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Yield (path, pydantic field) of every setting, sections opened."""
    for name, info in record.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, (*above, name))
        else:
            yield (*above, name), info


def _leaves_of(path: Path_, value: Any) -> Iterator[tuple[Path_, Any]]:
    """Yield the leaves of a value that may be a table."""
    return _leaves(value, path) if isinstance(value, dict) else iter([(path, value)])


def _leaves(nested: Mapping[str, Any], above: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for key, value in nested.items():
        opened = value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
        if isinstance(opened, dict):
            yield from _leaves(opened, (*above, key))
        else:
            yield (*above, key), opened


def check(record: type[Record], layers: Layers) -> Record:
    """Return the validated record. Raises ConfigError with a sentence for everything that is wrong."""
    problems = list(layers.problems)
    try:
        settled = record.model_validate(layers.values)
    except ValidationError as error:
        problems += [_sentence(record, layers, one) for one in error.errors(include_url=False)]
    if problems:
        raise ConfigError("\n".join(problems), hint="`dirigent settings` explains every setting.")
    return settled


def _sentence(record: type[BaseModel], layers: Layers, error: ErrorDetails) -> str:
    parts = [str(part) for part in error["loc"]]
    path = next((p for n in range(len(parts), 0, -1) if (p := tuple(parts[:n])) in layers.origins), tuple(parts[:1]))
    where = layers.origins.get(path, "default")
    secret = is_secret(kind_of(record, path)) or path[0] in {"secrets", "plugins"}
    value = "" if secret else f" = {json.dumps(error['input'], default=str, ensure_ascii=False)[:80]}"
    return f"{'.'.join(path)}{value} ({where}): {_must(error)}."


def _must(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    kind = error["type"]
    plain = {
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "string_type": "must be a text",
        "tuple_type": "must be a list",
        "string_pattern_mismatch": "must be an address that begins with http:// or https://",
        "model_type": "must be a section (a table of settings)",
        "dict_type": "must be a table",
    }
    bounds = {
        "greater_than": "gt",
        "greater_than_equal": "ge",
        "less_than": "lt",
        "less_than_equal": "le",
    }
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    if kind in bounds:
        return f"must be {words[bounds[kind]]} {context[bounds[kind]]:g}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return plain.get(kind) or error["msg"].replace("Input should", "must")
