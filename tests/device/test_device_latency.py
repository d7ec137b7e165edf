"""What ``benchmarks/latency.py`` measures is what it says: the given call through the student's own decoder, ``generate`` on the same weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from device_helpers import lively, stored

from needle import load_toolset
from needle.models import checkpoint_folder
from needle.student.decoding import greedy
from needle.student.modeling.engine import TorchEngine
from needle.student.rendering import render_request, render_tools
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request

ROOT = Path(__file__).parents[2]
BENCHMARKS, HOME = ROOT / "benchmarks", ROOT / "data" / "toolsets" / "home.json"


@pytest.fixture
def latency(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("latency")


def test_generate_writes_what_the_model_writes_without_a_grammar(latency) -> None:
    rivals, folder, tools = importlib.import_module("latency_rivals"), checkpoint_folder(None), tuple(load_toolset(HOME))
    tokenizer, request = load_tokenizer(folder), Request("turn off all the lights in the living room", tools)
    toolset, asked = render_tools(tokenizer, tools), render_request(tokenizer, request)
    expected = greedy(TorchEngine.from_folder(folder).stepper([toolset], [asked], [0]), [None], None, 100)[0].ids
    written = rivals.Generate(folder, toolset, asked).call(len(expected))
    assert written[:-1] == expected[:-1] and len(set(expected)) > 8


def test_every_way_runs_once_a_round_and_a_missing_one_is_named(latency, monkeypatch, capsys, tmp_path) -> None:
    rivals = importlib.import_module("latency_rivals")
    monkeypatch.setattr(rivals, "LlamaCpp", lambda *_: (_ for _ in ()).throw(ImportError("no", name="llama_cpp")))
    monkeypatch.setattr(rivals, "write_llama", lambda _: None)
    found, case = latency.ways(stored(lively(max_target_tokens=200), tmp_path / "student", 4), False, tmp_path / "llama.gguf")
    assert "43 written" in case and "llama.cpp: not installed (llama_cpp)" in capsys.readouterr().out
    times = latency.measure(found, 2)
    assert list(times) == ["needle cold", "needle warm", "generate"] and {len(values) for values in times.values()} == {2}
    lines = latency.table(times)
    assert len(lines) == 4 and lines[2].split()[7] == "1.00"
    assert all(float(number) > 0 for line in lines[1:] for number in line.split()[2:])


def test_a_fresh_process_is_timed_to_the_end_of_its_first_call(latency, folders) -> None:
    lines = latency.start(str(folders[4]), 1)
    assert [line.split(":")[0] for line in lines] == ["start, toolset new", "start, toolset prepared"]
    assert all("torch" not in line and 20 < float(line.split("peak ")[1].split()[0]) < 500 for line in lines)


def test_the_gguf_model_has_as_many_weights_as_the_student(latency) -> None:
    rivals = importlib.import_module("latency_rivals")
    shape = rivals.LLAMA
    forms = rivals._tensors(shape, shape["size"] // shape["heads"]).values()
    assert abs(sum(form[0] * (form[1] if len(form) > 1 else 1) for form in forms) / 26_315_421 - 1) < 0.02
