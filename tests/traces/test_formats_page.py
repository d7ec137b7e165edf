"""``docs/formats.md`` is true: its examples are read, and its tables name what the code knows."""

import json
import re
from pathlib import Path

from needle.tools import read_tools
from needle.tools.formats import FORMATS
from needle.tools.validate import CODES
from needle.traces import KINDS, trace_from_dict
from needle.traces.convert import WRITERS
from needle.traces.formats import READERS
from needle.traces.write import ENDINGS

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_the_row_examples_are_read():
    rows = [block for block in BLOCKS if isinstance(block, dict) and ("query" in block or "messages" in block)]
    assert [trace_from_dict(row).calls[0].arguments for row in rows] == [{"room": "kitchen", "brightness": 10}] * 2


def test_the_tool_examples_are_the_same_tool():
    toolsets = [read_tools(block) for block in BLOCKS if isinstance(block, list)]
    assert len(toolsets) == 5 and all(tools == toolsets[0] for tools in toolsets)


def test_the_python_example_runs():
    names = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/formats.md", "exec"), names)
    assert names["tools"][0].properties["protocol"] == {"type": "string", "enum": ["icmp", "tcp"], "default": "icmp"}


def test_the_tables_name_every_code_kind_format_and_ending():
    words = {
        *CODES.values(),
        "unknown_tool",
        "null_for_required",
        "nested_schema",
        *KINDS,
        *FORMATS,
        *READERS,
        *WRITERS,
        *ENDINGS,
    }
    assert sorted(word for word in words if f"`{word}`" not in PAGE) == []
