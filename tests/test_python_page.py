"""The Python blocks of ``docs/python.md`` that are marked as tests run, one after the other, with the tiny base."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BLOCK = re.compile(r"^<!-- test -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_run(monkeypatch, tiny_base, capsys):
    monkeypatch.setattr("needle.models.BUNDLED", tiny_base)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 4
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["model"].name.startswith("bundled base") and len(names["agent"].messages) >= 2
