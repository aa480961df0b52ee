"""Python values made plain JSON, without loading a library that the tool has not loaded itself."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import math
import pathlib
import sys
import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from plugins.api import ToolFailure

MOST_VALUES = 500_000
DEEPEST = 60


def plain(value: Any) -> Any:
    """Return `value` as JSON. Tables become lists of records; dates ISO strings; NaN and infinities None.

    Raises ToolFailure, naming the type, for what has no JSON form, and for what is too large or refers to itself.
    """
    return _Plainer().make(value, 0)


class _Plainer:
    def __init__(self) -> None:
        self._count = 0

    def make(self, value: Any, depth: int) -> Any:
        self._count += 1
        if self._count > MOST_VALUES or depth > DEEPEST:
            what = "is nested too deeply or refers to itself" if depth > DEEPEST else "is too large"
            hint = "Write it to a file and hand the file over with ctx.artifact(path)."
            raise ToolFailure(f"The tool's result {what}.", hint=hint)
        if value is None or (isinstance(value, (bool, str)) and not isinstance(value, enum.Enum)):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, Mapping):
            return {self._key(key): self.make(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, AbstractSet)):
            return [self.make(item, depth + 1) for item in value]
        return self._other(value, depth)

    def _key(self, key: Any) -> str:
        simple = self.make(key, 0)
        return simple if isinstance(simple, str) else str(simple)

    def _other(self, value: Any, depth: int) -> Any:
        known, simple = _scalar(value)
        if known:
            return simple
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return {f.name: self.make(getattr(value, f.name), depth + 1) for f in fields}
        for convert in (_of_pydantic, _of_pandas, _of_numpy):
            found, simple = convert(value)
            if found:
                return self.make(simple, depth + 1)
        hint = "Return numbers, texts, lists, dictionaries, dates, dataclasses or tables."
        raise ToolFailure(f"The tool returned a {type(value).__name__}, which has no JSON form.", hint=hint)


def _scalar(value: Any) -> tuple[bool, Any]:  # noqa: PLR0911 - one line a type
    """Return (True, JSON) for the standard library's scalar types."""
    if isinstance(value, enum.Enum):
        return _scalar_or_text(value.value)
    if isinstance(value, int):
        return True, int(value)
    if isinstance(value, float):
        return True, float(value) if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return True, str(value)
    if _missing(value):
        return True, None
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return True, value.isoformat()
    if isinstance(value, dt.timedelta):
        return True, value.total_seconds()
    if isinstance(value, (pathlib.PurePath, uuid.UUID)):
        return True, str(value)
    if isinstance(value, (bytes, bytearray)):
        return True, base64.b64encode(value).decode()
    return False, None


def _scalar_or_text(value: Any) -> tuple[bool, Any]:
    if value is None or isinstance(value, (str, bool)):
        return True, value
    known, simple = _scalar(value)
    return True, simple if known else str(value)


def _missing(value: Any) -> bool:
    """True for pandas' NaT and NA, which pass for dates and nothing at once."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NaT or value is pandas.NA)


def _of_pydantic(value: Any) -> tuple[bool, Any]:
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return True, value.model_dump(mode="json")
    return False, None


def _of_pandas(value: Any) -> tuple[bool, Any]:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False, None
    if isinstance(value, pandas.DataFrame):
        named = isinstance(value.index, pandas.MultiIndex) or value.index.name is not None
        return True, (value.reset_index() if named else value).to_dict(orient="records")
    if isinstance(value, pandas.Series):
        return True, value.to_dict()
    if isinstance(value, pandas.Index):
        return True, value.tolist()
    if isinstance(value, (pandas.Period, pandas.Interval)):
        return True, str(value)
    return False, None


def _of_numpy(value: Any) -> tuple[bool, Any]:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False, None
    if isinstance(value, numpy.ndarray):
        return True, value.tolist()
    if isinstance(value, numpy.generic):
        simple = value.item()
        return (True, simple) if not isinstance(simple, numpy.generic) else (True, str(value))
    return False, None
