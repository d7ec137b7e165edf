"""The house keeps its rules: who imports whom, where torch may be, modules that are short, typed and explained."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "needle"
ALLOWED = {
    "tools": set(),
    "traces": {"tools"},
    "teacher": {"tools", "traces"},
    "generate": {"tools", "traces", "teacher"},
    "corpora": {"tools", "traces", "teacher", "student"},
    "student": {"tools"},
    "train": {"tools", "traces", "student"},
    "hf": {"tools", "traces", "train"},
    "evals": {"tools", "traces"},
    "device": {"tools", "student"},
    "serve": {"tools", "device"},
    "mcp": {"tools"},
}
"""Room to the rooms that it may import. Every room may import itself and ``needle.errors``."""
GLUE = "commands"
"""The room of the verbs: glue like ``TOP``, with nothing in it that another room could need."""
TOP = {"__init__", "__main__", "agent", "average", "base", "calibrate", "cli", "distil", "distil_hf", "doctor", "export", "extraction", "models", "playground", "quickstart", "runs", "terminal", "watch"}
"""Modules beside the rooms: glue, which may import everything."""
HEAVY = {"torch", "transformers", "tensorboard"}
HEAVY_ROOMS = ("student/modeling/", "train/", "corpora/", "hf/")
"""Where heavy packages may be imported when a module is loaded."""
MOST_LINES, MEDIAN_LINES = 400, 180

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
TREES = {path: ast.parse((PACKAGE / path).read_text(encoding="utf-8")) for path in MODULES}


def _imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Full names of what an import statement brings, with its line; relative imports are not used in this package."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: write imports in full"
        yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _at_module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is loaded: not those in functions, nor those for type checkers only."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            waiting += [child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)]


def _room(path: Path) -> str | None:
    return path.parts[0] if len(path.parts) > 1 else None


def test_every_room_and_top_module_is_in_the_table() -> None:
    rooms = {_room(path) for path in MODULES} - {None}
    assert rooms <= {*ALLOWED, GLUE}, rooms - ALLOWED.keys()
    modules = {path.stem for path in MODULES if _room(path) is None}
    assert modules <= TOP | {"errors"}, modules - TOP


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_the_rooms_that_it_may(room: str) -> None:
    wrong = []
    for path, tree in TREES.items():
        if _room(path) == room:
            for name, line in (found for node in ast.walk(tree) for found in _imports(node)):
                parts = name.split(".")
                allowed = {room, "errors", *ALLOWED[room]}
                if parts[0] == "needle" and (parts[1] if len(parts) > 1 else "") not in allowed:
                    wrong.append(f"{path}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_table_has_no_circle() -> None:
    def reach(room: str, seen: tuple[str, ...] = ()) -> None:
        assert room not in seen, (*seen, room)
        for other in ALLOWED[room]:
            reach(other, (*seen, room))

    for room in ALLOWED:
        reach(room)


def test_heavy_packages_are_imported_at_module_level_only_where_models_are_made() -> None:
    wrong = []
    for path, tree in TREES.items():
        if not path.as_posix().startswith(HEAVY_ROOMS):
            names = [found for node in _at_module_level(tree) for found in _imports(node)]
            wrong += [f"{path}:{line} imports {name}" for name, line in names if name.split(".")[0] in HEAVY]
    assert not wrong, "\n".join(wrong)


def test_data_sets_are_imported_lazily_everywhere() -> None:
    names = [
        (path, name, line)
        for path, tree in TREES.items()
        for node in _at_module_level(tree)
        for name, line in _imports(node)
    ]
    assert not [entry for entry in names if entry[1].split(".")[0] == "datasets"]


def test_the_light_rooms_load_without_heavy_packages() -> None:
    light = ["needle", "needle.models", "needle.distil", "needle.traces.read", "needle.tools.validate", "needle.evals"]
    light += [f"needle.student.{module}" for module in ("grammar", "decoding", "rendering")]
    code = f"import {', '.join(light)}, sys; print(*(set({sorted(HEAVY | {'datasets'})}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_no_module_is_long_and_half_of_them_are_short() -> None:
    lengths = sorted(
        (len((PACKAGE / path).read_text(encoding="utf-8").splitlines()), path.as_posix()) for path in MODULES
    )
    assert lengths[-1][0] <= MOST_LINES, lengths[-1]
    assert lengths[len(lengths) // 2][0] <= MEDIAN_LINES


def test_every_module_says_what_it_does() -> None:
    assert not [path.as_posix() for path, tree in TREES.items() if not ast.get_docstring(tree)]


def _public_functions(
    body: list[ast.stmt], owner: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            yield f"{owner}{node.name}", node


def _untyped(function: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> bool:
    arguments = function.args
    static = any(ast.unparse(decorator) == "staticmethod" for decorator in function.decorator_list)
    positional = [*arguments.posonlyargs, *arguments.args][1 if is_method and not static else 0 :]
    every = [*positional, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
    return function.returns is None or any(argument.annotation is None for argument in every)


def test_public_functions_are_typed() -> None:
    functions = [(path, name, node) for path, tree in TREES.items() for name, node in _public_functions(tree.body)]
    assert len(functions) > 100
    wrong = [f"{path}:{node.lineno} {name}" for path, name, node in functions if _untyped(node, "." in name)]
    assert not wrong, "\n".join(wrong)


def test_public_functions_and_classes_say_what_they_do() -> None:
    wrong = []
    for path, tree in TREES.items():
        documented = [
            (node.name, node) for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        ]
        documented += [
            (name, node)
            for name, node in _public_functions(tree.body)
            if not name.endswith("__init__") and "." not in name
        ]
        wrong += [f"{path}:{node.lineno} {name}" for name, node in documented if not ast.get_docstring(node)]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_pickled() -> None:
    names = {
        (path.as_posix(), name) for path, tree in TREES.items() for node in ast.walk(tree) for name, _ in _imports(node)
    }
    assert not [
        entry
        for entry in names
        if entry[1].split(".")[0] in ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal")
    ]
    calls = [
        f"{path}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.save", "torch.load")
    ]
    assert not calls, calls
