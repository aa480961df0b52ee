"""Where settings come from: what pydantic-settings reads, and what Dirigent adds to it.

Added are: secrets by the name of their file (`…_FILE`), the usual names of the model server, lists with commas, names
of secrets in their own spelling, unknown variables refused, and the origin of every value for the messages.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource, InitSettingsSource, SecretsSettingsSource, TomlConfigSettingsSource

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

Path_ = tuple[str, ...]

PREFIX, LEVELS, FILE = "DIRIGENT_", "__", "_file"
GENERIC_ENV = {"OPENAI_API_KEY": "openai_api_key", "OPENAI_BASE_URL": "openai_base_url"}
# Read by the `./dirigent` wrapper and by tests, not settings.
OTHER_ENV = frozenset({"DIRIGENT_PYTHON", "DIRIGENT_VENV"})
FOR_TESTS = "DIRIGENT_TEST_"
SECRET_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for a value that could not be had. No setting accepts it, so that the reason is told with all others."""

    reason: str


class Given(InitSettingsSource):
    """Settings that the caller gives."""

    def origin(self, _path: Path_) -> str:
        """Say where a setting was set."""
        return "given on the command line"


class Environment(EnvSettingsSource):
    """`DIRIGENT_*`, and the usual names of the model server."""

    def __init__(self, record: type[BaseSettings]) -> None:
        self.names: dict[str, str] = {}
        super().__init__(record, case_sensitive=True, env_prefix="")

    def origin(self, path: Path_) -> str:
        """Say which variable set this, or what is around or inside it."""
        known = [LEVELS.join(path[:depth]) for depth in range(len(path), 0, -1)]
        inside = [name for name in self.names if name.startswith(known[0])]
        return next(self.names[name] for name in [*known, *inside] if name in self.names)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        plain = {name: _setting_named(name) for name, value in os.environ.items() if value and _is_ours(name)}
        usual = {name: setting for name, setting in GENERIC_ENV.items() if os.environ.get(name)}
        files = {name: setting for name, setting in plain.items() if names_file(self.settings_cls, split(setting))}
        usual_files = {f"{name}_FILE": f"{setting}{FILE}" for name, setting in GENERIC_ENV.items()}
        found: dict[str, Any] = {}
        for name, setting in {**usual_files, **files}.items():
            if os.environ.get(name):
                found[self._noted(setting[: -len(FILE)], name)] = read_secret(Path(os.environ[name]))
        for name, setting in {**usual, **plain}.items():
            if name not in files:
                found[self._noted(setting, name)] = os.environ[name]
        return found

    def _noted(self, setting: str, variable: str) -> str:
        self.names[setting] = variable
        return setting

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Read a list with commas, or JSON."""
        if isinstance(value, Unusable):
            return value
        if field and get_origin(field.annotation) is tuple and not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return Unusable("must be JSON")

    def __call__(self) -> dict[str, Any]:
        """Return the settings, with what the library would pass over: variables that name none."""
        fields = self.settings_cls.model_fields
        open_ = {name for name, field in fields.items() if self.field_is_complex(field)}
        unknown = {
            name: self.env_vars[name]
            for name in self.names
            if name not in fields and name.split(LEVELS)[0] not in open_
        }
        return super().__call__() | unknown


class SettingsFile(TomlConfigSettingsSource):
    """`dirigent.toml` in the home."""

    def __init__(self, record: type[BaseSettings], file: Path) -> None:
        self.file = file
        try:
            super().__init__(record, file)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.",
                hint="Correct the file, or move it away to start with defaults.",
            ) from None
        if "home" in self.init_kwargs:
            raise ConfigError(f"home in {file}: the home is where this file lies; set DIRIGENT_HOME instead.")

    def origin(self, _path: Path_) -> str:
        """Say where a setting was set."""
        return str(self.file)

    def __call__(self) -> dict[str, Any]:
        """Return the settings, with secrets read from the files that are named."""
        read = self._with_files(super().__call__(), ())
        tools = read.get("tools")
        return {**read, "tools": _by_full_name(tools)} if isinstance(tools, dict) else read

    def _with_files(self, table: dict[str, Any], above: Path_) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key, value in table.items():
            if names_file(self.settings_cls, (*above, key)):
                read[key[: -len(FILE)]] = read_secret(self.file.parent / Path(str(value)).expanduser())
            else:
                read[key] = self._with_files(value, (*above, key)) if isinstance(value, dict) else value
        return read


def _by_full_name(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of tools by name: `[tools.mail.send]` says the same as `[tools."mail.send"]`."""
    flat: dict[str, Any] = {}
    for name, table in tables.items():
        inner = {key for key, value in table.items() if isinstance(value, dict)} if isinstance(table, dict) else set()
        flat |= {f"{name}.{key}": table[key] for key in inner}
        if not inner:
            flat[name] = table
        elif len(inner) < len(table):
            flat[name] = {key: value for key, value in table.items() if key not in inner}
    return flat


class SecretsFolder(SecretsSettingsSource):
    """`secrets/` in the home: a file a secret. Names that are no setting are secrets for tools."""

    def __init__(self, record: type[BaseSettings], folder: Path) -> None:
        super().__init__(record, folder, case_sensitive=True, env_prefix="")
        self.folder = folder
        try:
            self.files = {file.name: file for file in sorted(folder.iterdir()) if _is_secret_file(file)}
        except OSError:
            self.files = {}

    def origin(self, path: Path_) -> str:
        """Say which file holds a secret."""
        return str(self.folder / path[-1])

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return (value, name, False): the content of the field's file, or of all files that belong to no field."""
        fields = self.settings_cls.model_fields
        own = {name for name, info in fields.items() if name != "secrets" and is_secret(info.annotation)}
        if field_name == "secrets":
            return {name: read_secret(file) for name, file in self.files.items() if name not in own}, field_name, False
        file = self.files.get(field_name) if is_secret(field.annotation) else None
        return (read_secret(file) if file else None), field_name, False

    def prepare_field_value(self, _name: str, _field: FieldInfo, value: Any, _complex: bool) -> Any:  # noqa: FBT001
        """Return the value as it is; files hold no JSON."""
        return value

    def __call__(self) -> dict[str, Any]:
        """Return the secrets; a folder that is not there holds none."""
        return super().__call__() if self.files else {}


Source = Given | Environment | SettingsFile | SecretsFolder


def sources_of(record: type[BaseSettings], given: Mapping[str, Any]) -> tuple[Source, ...]:
    """Return every source, strongest first. Raises ConfigError when dirigent.toml cannot be read."""
    home = given.get("home") or os.environ.get("DIRIGENT_HOME") or record.model_fields["home"].default
    folder = Path(home).expanduser().absolute()
    return (
        Given(record, dict(given)),
        Environment(record),
        SettingsFile(record, folder / "dirigent.toml"),
        SecretsFolder(record, folder / "secrets"),
    )


# --- files with a secret ------------------------------------------------------------------------------------------
def read_secret(file: Path) -> str | Unusable | None:
    """Return the content without the space around it, None when there is none, Unusable when it cannot be read."""
    try:
        with file.expanduser().open("rb") as stream:
            return stream.read(SECRET_FILE_BYTES).decode("utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        return Unusable(f"the file {file} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}")


def names_file(record: type[BaseModel], path: Path_) -> bool:
    """Return whether a key such as `telegram_token_file` names the file of a secret."""
    return path[-1].lower().endswith(FILE) and is_secret(kind_of(record, (*path[:-1], path[-1][: -len(FILE)])))


def _is_secret_file(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


# --- names of variables -------------------------------------------------------------------------------------------
def env_name(path: Path_) -> str:
    """Return the environment variable of a setting: `("limits", "steps")` → `DIRIGENT_LIMITS__STEPS`."""
    return PREFIX + LEVELS.join(path).upper()


def split(setting: str) -> Path_:
    """Return the path of a setting: `limits__steps` → `("limits", "steps")`."""
    return tuple(setting.split(LEVELS))


def _is_ours(variable: str) -> bool:
    return variable.startswith(PREFIX) and not variable.startswith(FOR_TESTS) and variable not in OTHER_ENV


def _setting_named(variable: str) -> str:
    """Return the setting of a variable, in small letters; the names of secrets keep their spelling."""
    top, levels, rest = variable.removeprefix(PREFIX).partition(LEVELS)
    return f"{top.lower()}{levels}{rest if top == 'SECRETS' else rest.lower()}"


# --- what settings there are --------------------------------------------------------------------------------------
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


def settings_of(record: type[BaseModel], above: Path_ = ()) -> Iterator[tuple[Path_, FieldInfo]]:
    """Yield (path, pydantic field) of every setting, sections opened."""
    for name, info in record.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, (*above, name))
        else:
            yield (*above, name), info
