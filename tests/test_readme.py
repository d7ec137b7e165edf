"""Every command in a ``bash`` block of the documentation exists as written; blocks after ``<!-- test -->`` are run, with small numbers.

The grammar is small: a block holds one command a line, ``\\`` continues it, ``&&`` joins two, ``#`` starts a comment.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from needle.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *(ROOT / name / "README.md" for name in ("benchmarks", "data", "evals")))
    if path.is_file()
)  # fmt: skip
BLOCK = re.compile(r"^(?P<mark><!-- test -->\n+)?```bash\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {"--n": "40", "--minutes": "0.01", "--steps": "1", "--rows": "16", "--limit": "8", "--bits": None}
"""Option to the value that a tested block gets in place of its own; None leaves the option out."""


@dataclass(frozen=True)
class Command:
    """One command of a page."""

    words: tuple[str, ...]
    """Program and arguments."""
    tested: bool
    """Its block is marked to be run."""


def commands(text: str) -> list[Command]:
    """The commands of all ``bash`` blocks of a page, in order."""
    found = []
    for block in BLOCK.finditer(text):
        for line in block["body"].replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                found.append(Command(tuple(words[:end]), block["mark"] is not None))
                words = words[end + 1 :]
    return found


def check(words: tuple[str, ...]) -> None:
    """Fail when the command could not be run as written: unknown verb or option, missing argument, no such extra or script."""
    program, *arguments = words
    if program == "needle":
        parse(arguments)
    elif program == "pip" and "-e" in arguments:
        target = arguments[arguments.index("-e") + 1]
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\w+", target.partition("[")[2])) <= extras.keys(), f"{target}: no such extra"
    elif program == "python" and arguments[0].endswith(".py"):
        assert (ROOT / arguments[0]).is_file(), f"{arguments[0]}: no such script"


def parse(arguments: list[str]) -> None:
    """Parse as the program does, without running anything."""
    command, name = typer.main.get_command(app), "needle"
    while hasattr(command, "commands"):
        if not arguments or arguments[0].startswith("-"):
            flags = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert arguments and arguments[0] in flags, f"{name} {' '.join(arguments)}: no verb"
            arguments = arguments[1:]
            if not arguments:
                return
            continue
        assert arguments[0] in command.commands, f"{name} {arguments[0]}: no such verb"
        name, command, arguments = f"{name} {arguments[0]}", command.commands[arguments[0]], arguments[1:]
    try:
        command.make_context(name, list(arguments))
    except typer.BadParameter.__bases__[0] as error:
        raise AssertionError(f"{name} {' '.join(arguments)}: {error.format_message()}") from error


def smaller(words: tuple[str, ...]) -> list[str]:
    """The command with the numbers of ``SMALL``."""
    out: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in SMALL:
            rest.pop(0)
            out += [word, SMALL[word]] if SMALL[word] is not None else []
        else:
            out.append(word)
    return out


SAMPLE = """\
```bash
pip install -e ".[train]" && needle quickstart   # both
needle generate --tools T.json \\
  --out D --n 1000
```
<!-- test -->

```bash
needle --version
```
```python
needle nonsense
```
"""


def test_the_grammar_finds_every_command_of_a_page():
    assert [" ".join(command.words) for command in commands(SAMPLE)] == [
        "pip install -e .[train]", "needle quickstart", "needle generate --tools T.json --out D --n 1000", "needle --version",
    ]  # fmt: skip
    assert [command.tested for command in commands(SAMPLE)] == [False, False, False, True]
    assert smaller(("needle", "train", "--n", "1000", "--bits", "4", "--out", "D")) == ["needle", "train", "--n", "40", "--out", "D"]


@pytest.mark.parametrize("line", [
    "needle", "needle generte", "needle generate --colour red", "needle generate --tools T --out D --speed 3", "needle traces", "needle traces shuffle x",
    "needle train --traces D --out R --steps many", "needle compare", "needle compare A B --max-regression much", 'pip install -e ".[everything]"', "python benchmarks/nothing.py",
])  # fmt: skip
def test_the_grammar_refuses_what_could_not_be_run(line):
    with pytest.raises(AssertionError):
        check(tuple(shlex.split(line)))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_the_documentation_exists(page):
    for command in commands(page.read_text(encoding="utf-8")):
        check(command.words)


def test_the_readme_shows_the_two_commands_of_a_newcomer():
    shown = [" ".join(command.words) for command in commands((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert shown[:4] == ["pip install -e .[train]", "needle quickstart", "pip install -e .[test]", "pytest"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_marked_blocks_run(page, cli, monkeypatch, tmp_path, tiny_base, no_traces):
    """In a folder of their own, with the tiny base in place of the bundled one: the commands fit together, figures are not judged."""
    marked = [command.words for command in commands(page.read_text(encoding="utf-8")) if command.tested]
    if not marked:
        return
    for name in ("data", "evals"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("needle.models.BUNDLED", tiny_base)
    monkeypatch.setenv("NEEDLE_DATA", no_traces)
    for words in marked:
        assert words[0] == "needle", f"only needle commands can be run here, not {words[0]}"
        outcome = cli(*smaller(words)[1:])
        learnt = (0, 1) if words[1] == "train" else (0,)  # a step or two may find nothing better than the start, and say so
        assert outcome.code in learnt, f"{' '.join(words)}\n{outcome.err}"
