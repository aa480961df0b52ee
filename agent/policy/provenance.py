"""How labels join: what a call's result carries, given its arguments, its tool and the files that it could read."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.domain.provenance import NOTHING, Provenance

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from plugins.api import ToolSpec


def of_result(
    spec: ToolSpec,
    args: Mapping[str, Any],
    arg_labels: Mapping[str, Provenance],
    file_labels: Mapping[str, Provenance],
    step_id: str,
) -> Provenance:
    """Return the union of the arguments' labels, the labels of readable files, and the tool's own source."""
    own = NOTHING
    others = spec.untrusted or bool(spec.network or spec.reaches)  # who is asked outside answers in their own words
    if others or spec.private:
        own = Provenance.of(f"{source_name(spec, args)}#{step_id}", trusted=not others, private=spec.private)
    return Provenance.union([*arg_labels.values(), of_files(spec, args, file_labels), own])


def of_files(spec: ToolSpec, args: Mapping[str, Any], file_labels: Mapping[str, Provenance]) -> Provenance:
    """Return the labels of the files a call could read: those it names, or every one when it names none.

    A program that a model or a person wrote reads what it likes, whatever files it was said to need (`reads_all`).
    """
    named = files_named(spec, args)
    if named and not spec.reads_all:
        return Provenance.union(_of_path(path, file_labels) for path in named)
    if spec.effect == "pure" or spec.host:
        return NOTHING
    return Provenance.union(file_labels.values())


def of_call(
    spec: ToolSpec,
    args: Mapping[str, Any],
    arg_labels: Mapping[str, Provenance],
    file_labels: Mapping[str, Provenance],
) -> tuple[dict[str, Provenance], Provenance]:
    """Return the labels of a call's arguments, a file's name with what the file holds, and of what else it could read.

    Whatever a call could read it could send; that it may also be private is no news of files that it does not name.
    """
    if not file_labels:
        return {name: arg_labels.get(name, NOTHING) for name in args}, NOTHING
    labels = {}
    for name, value in args.items():
        held = [_of_path(str(path), file_labels) for path in _listed(value)] if name in spec.file_parameters else ()
        labels[name] = Provenance.union([arg_labels.get(name, NOTHING), *held])
    names_some = any(args.get(name) for name in spec.file_parameters)
    if (names_some and not spec.reads_all) or spec.host:
        return labels, NOTHING
    return labels, Provenance(Provenance.union(file_labels.values()).sources)


def source_name(spec: ToolSpec, args: Mapping[str, Any]) -> str:
    """Name the outside source of a tool's output: `web:example.org` when a URL says so, else `plugin.tool`."""
    for value in args.values():
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            try:
                return f"web:{urlsplit(value).hostname or 'unknown'}"
            except ValueError:  # such as a bracket that is never closed
                return "web:unknown"
    return spec.full_name


def meant(path: str, names: Collection[str]) -> list[str]:
    """Return the files that a tool may take the words for: a path, a folder, a glob, a careless name."""
    plain = posixpath.normpath(path.strip())
    if plain in names:
        return [plain]
    if plain.startswith(("/", "~", "..")):  # some tools take these too, if they lead back into the workspace
        return list(names)
    asked = plain.casefold()
    return [name for name in names if _may_mean(asked, name.casefold())]


def files_named(spec: ToolSpec, args: Mapping[str, Any]) -> list[str]:
    """Return the words for files that a call is given."""
    return [str(path) for name in spec.file_parameters for path in _listed(args.get(name))]


def _of_path(path: str, file_labels: Mapping[str, Provenance]) -> Provenance:
    """Return the labels of every file that a tool may take the words for."""
    return Provenance.union(file_labels[name] for name in meant(path, file_labels))


def _may_mean(asked: str, name: str) -> bool:
    last = posixpath.basename(name)
    alike = asked in {".", name, last, posixpath.splitext(name)[0], posixpath.splitext(last)[0]}
    return alike or name.startswith(f"{asked}/") or fnmatchcase(name, asked) or fnmatchcase(last, asked)


def _listed(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)
