"""The C program of ``examples/c`` writes what the Python runtime writes. Needs a C compiler and ONNX Runtime's header."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from needle import load_toolset
from needle.device.engine import OnnxEngine
from needle.device.export import finish_export
from needle.models import checkpoint_folder
from needle.student.decoding import greedy
from needle.student.rendering import render_request, render_tools
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request

ROOT = Path(__file__).parents[2]
EXAMPLE, HOME = ROOT / "examples" / "c", ROOT / "data" / "toolsets" / "home.json"
QUERIES = ("set the kitchen light to forty percent", "what a day", "turn off all the lights in the living room")
PLACES = [os.environ.get("ORT_INCLUDE", ""), "/usr/include/onnxruntime", "/usr/local/include/onnxruntime", "/usr/local/include"]


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    """The built program."""
    header = next((place for place in PLACES if place and (Path(place) / "onnxruntime_c_api.h").is_file()), None)
    library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"), None)
    if header is None or library is None or not shutil.which("make") or not shutil.which("cc"):
        pytest.skip("no C compiler or no header of ONNX Runtime (ORT_INCLUDE, or the package libonnxruntime-dev)")
    out = tmp_path_factory.mktemp("c")
    make = ["make", "-C", str(EXAMPLE), f"ORT_INCLUDE={header}", f"ORT_LIB={library}", f"OUT={out}", "CFLAGS=-O2 -Wall -Wextra -Werror"]
    subprocess.run(make, check=True, capture_output=True)
    return out / "session"


def _run(session: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([session, folder], check=False, input=text, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["bundled base, 4 bits", "random weights, fp32"])
def test_c_and_python_write_the_same_tokens(session, folders, tmp_path, model: str) -> None:
    folder = Path(shutil.copytree(checkpoint_folder(None) if "4" in model else folders[32], tmp_path / "exported"))
    finish_export(folder, folder, (), None, print)
    tokenizer, engine, tools = load_tokenizer(folder), OnnxEngine(folder, fast=False), tuple(load_toolset(HOME))
    lines = [render_tools(tokenizer, tools), *(render_request(tokenizer, Request(query, tools)) for query in QUERIES)]
    out = _run(session, folder, "\n".join(" ".join(map(str, ids)) for ids in lines))
    assert out.returncode == 0, out.stderr
    expected = [greedy(engine.stepper([lines[0]], [ids], [0]), [None], None, 512)[0].ids for ids in lines[1:]]
    assert [[int(word) for word in line.split()] for line in out.stdout.splitlines()] == expected
    assert "4" not in model or len({tuple(ids) for ids in expected}) == len(QUERIES)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "\n1", "1 2 x\n3", "1\n\n"])
def test_bad_input_of_the_c_program_is_refused_in_a_line(session, folders, tmp_path, text: str) -> None:
    folder = Path(shutil.copytree(folders[4], tmp_path / "exported"))
    finish_export(folder, folder, (), None, print)
    out = _run(session, folder, text)
    assert out.returncode == 2 and out.stderr.strip().splitlines()[-1].startswith("session: ")


@pytest.mark.slow
def test_the_helper_of_the_c_example_reads_its_own_tokens(folders, write) -> None:
    tools = write("tools.json", [{"name": "stop", "description": "Stop everything."}])
    command = [sys.executable, EXAMPLE / "tokens.py"]
    out = subprocess.run([*command, "encode", folders[4], tools, "stop now"], capture_output=True, text=True, check=True).stdout
    assert len(out.splitlines()) == 2
    text = subprocess.run([*command, "decode", folders[4]], input=out, capture_output=True, text=True, check=True).stdout
    assert text.splitlines()[1] == "<request>stop now"
