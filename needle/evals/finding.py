"""Where suites are: this repository, the working folder, installed packages, plain files and folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from needle.errors import UserError
from needle.evals.definition import DERIVED, Definition, definition_in, read_definition
from needle.traces.split import split_files

REPOSITORY = Path(__file__).resolve().parents[2]
GROUP = "needle.suites"
"""Entry point group: each entry is a folder with a definition, or a function of no arguments that returns one."""


def suite_folders() -> list[Path]:
    """Folders that hold named suites: of this repository and of the working folder."""
    return list(dict.fromkeys(folder / "evals" / "suites" for folder in (REPOSITORY, Path.cwd())))


def named_suites() -> dict[str, Path]:
    """Names that ``load_suite`` knows, with their definitions; this repository's win over a package's of that name."""
    found = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = _offered(entry.load(), entry.name)
    for folder in reversed(suite_folders()):
        inside = sorted(path for path in folder.glob("*/") if path.is_dir()) if folder.is_dir() else []
        found |= {path.name: definition for path in inside if (definition := definition_in(path))}
    return dict(sorted(found.items()))


def _offered(value: object, name: str) -> Path:
    folder = value() if callable(value) else value
    definition = definition_in(Path(folder)) if isinstance(folder, (str, Path)) else None
    if definition is None:
        raise UserError(f"the installed suite {name!r} names no folder with a definition; ask its authors")
    return definition


def suite_lines(tags: Sequence[str] = ()) -> list[str]:
    """Every named suite with all of ``tags`` (skills, licences) in a line: name, size, licence, place, skills."""
    wanted = {tag.lower() for tag in tags}
    definitions = [replace(read_definition(path), name=name) for name, path in named_suites().items()]
    known = {tag for one in definitions for tag in one.tags()}
    unknown = sorted(wanted - known)
    if unknown:
        raise UserError(f"no suite has the tag {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return [one.line() for one in definitions if wanted <= set(one.tags())]


def find_definition(source: str | Path) -> tuple[Definition | None, str | None]:
    """Definition of a named suite or of a folder with one, and the part (or the suite to derive from) asked for."""
    path = Path(source)
    if path.exists():
        inside = definition_in(path) if path.is_dir() else None
        return (read_definition(inside) if inside else None), None
    known = named_suites()
    for mark in ":/":
        name, found, part = str(source).partition(mark)
        if name in known:
            definition = replace(read_definition(known[name]), name=name)
            if (mark == ":") == (definition.loader in DERIVED) or not found:
                return definition, part or None
    return None, None


def plain_files(source: str | Path) -> tuple[dict[str, str], tuple[Path, ...]]:
    """Description and files of a suite without a definition: a file of rows, or a folder with a test split."""
    path = Path(source)
    if path.is_file():
        return {"name": path.name.split(".")[0], "source": shown(path)}, (path,)
    if path.is_dir():
        test = split_files(path).get("test")
        if test is None:
            raise UserError(
                f"{path}: no test split there; name a file of rows, a folder with test.jsonl.gz or one with suite.toml"
            )
        return {"name": path.name, "source": shown(test)}, (test,)
    names = ", ".join(named_suites()) or "the named suites (none are here)"
    raise UserError(f"no suite {str(source)!r}: neither a file nor a folder nor one of {names}")


def shown(path: str | Path) -> str:
    """A path as a report may show it: relative to repository or working folder if it lies there, else its name."""
    path = Path(path).resolve()
    for base in (REPOSITORY, Path.cwd().resolve()):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return path.name
