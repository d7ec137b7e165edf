"""The graphs compute what the model computes, for every width of weights, alone and in a batch, with and without caches."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from device_helpers import lively, stored

import needle
from needle.device import engine as engines
from needle.device.engine import OnnxEngine, make_graph
from needle.device.graphs import DECODER, ENCODER
from needle.device.prepared import ToolsetCache
from needle.device.weights import WeightsFile
from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.modeling.engine import TorchEngine
from needle.student.shape import Shape
from needle.student.tokenizer import load_tokenizer

TOOLSETS = [list(range(100, 130)), list(range(300, 317))]
REQUESTS = [list(range(500, 505)), list(range(600, 609)), [700]]
TOOLSET_OF = [0, 1, 0]
STEPS = ([[2], [2], [2]], [[11, 40, 41], [11], [11, 50]], [[60], [61], [62]])


def _logits(engine: object, toolset_of=TOOLSET_OF, requests=REQUESTS, steps=STEPS) -> list[np.ndarray]:
    stepper = engine.stepper(TOOLSETS, requests, toolset_of)
    return [stepper.step(tokens) for tokens in steps]


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
@pytest.mark.parametrize("fast", [False, True])
def test_logits_and_alignment_are_those_of_torch_for_every_width(folders, bits: int, fast: bool, monkeypatch) -> None:
    exact = bits > 8 or not fast
    if exact:
        monkeypatch.setattr(engines, "ACCURACY", 0)
    one, other = OnnxEngine(folders[bits], fast=fast), TorchEngine.from_folder(folders[bits])
    assert one.facts() == other.facts()
    steppers = [engine.stepper(TOOLSETS, REQUESTS, TOOLSET_OF, True) for engine in (one, other)]
    for number, tokens in enumerate([*STEPS, [[70, 71], [72]], [[73], [74]]]):
        if number == len(STEPS):
            for stepper in steppers:
                stepper.keep([2, 1])
        found, expected = (stepper.step(tokens) for stepper in steppers)
        np.testing.assert_allclose(found, expected, atol=1e-4 if exact else 0.15 * expected.std())
        for mean, true in zip(*(stepper.alignment for stepper in steppers), strict=True):
            assert mean.shape == true.shape
            np.testing.assert_allclose(mean, true, atol=1e-5 if exact else 0.05)


def test_a_row_gets_the_same_logits_alone_as_in_a_batch(folders) -> None:
    engine = OnnxEngine(folders[4], fast=False)
    together = _logits(engine)
    for row, (toolset, request) in enumerate(zip(TOOLSET_OF, REQUESTS, strict=True)):
        alone = _logits(engine, [toolset], [request], [[tokens[row]] for tokens in STEPS])
        for batch, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(batch[row], single[0], atol=1e-4)


def test_forced_tokens_in_one_step_are_the_tokens_one_by_one(folders) -> None:
    engine, tokens = OnnxEngine(folders[4], fast=False), [2, 11, 40, 41, 42]
    at_once, one_by_one = (engine.stepper(TOOLSETS[:1], REQUESTS[:1], [0]) for _ in range(2))
    last = [one_by_one.step([[token]]) for token in tokens][-1]
    np.testing.assert_allclose(at_once.step([tokens]), last, atol=1e-4)


def test_a_toolset_from_the_disk_is_the_one_that_was_encoded_and_a_damaged_file_is_made_again(folders, tmp_path: Path) -> None:
    fresh = _logits(OnnxEngine(folders[4]))
    first = OnnxEngine(folders[4], cache=ToolsetCache(tmp_path / "c"))
    for toolset in TOOLSETS:
        first.prepare(toolset)
    files = sorted((tmp_path / "c").iterdir())
    assert [file.suffix for file in files] == [".safetensors"] * 2
    second = OnnxEngine(folders[4], cache=ToolsetCache(tmp_path / "c"))
    second._encode_tools = None  # nothing may be encoded again
    np.testing.assert_array_equal(_logits(second), fresh)
    whole = files[0].read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-4] + b"\1\2\3\4", b""):
        files[0].write_bytes(damaged)
        np.testing.assert_array_equal(_logits(OnnxEngine(folders[4], cache=ToolsetCache(tmp_path / "c"))), fresh)
    other = OnnxEngine(folders[8], cache=ToolsetCache(tmp_path / "c"))  # the same toolset of another model is another file
    assert not np.array_equal(_logits(other)[0], fresh[0])


def test_the_caches_are_bounded_and_a_disk_that_cannot_be_written_is_no_error(folders, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    OnnxEngine(folders[4], cache=ToolsetCache(tmp_path / "file" / "below")).prepare(TOOLSETS[0])
    cache = ToolsetCache(tmp_path / "c", memory=1, disk=1)
    engine = OnnxEngine(folders[4], cache=cache)
    for toolset in TOOLSETS:
        engine.prepare(toolset)
    assert len(cache._kept) == 1 and len(list((tmp_path / "c").iterdir())) == 1


def test_threads_and_models_side_by_side_give_the_answers_that_they_give_alone(folders, requests) -> None:
    callers = [StudentCaller(OnnxEngine(folders[bits]), load_tokenizer()) for bits in (4, 32)]
    alone = [[caller.answer([request])[0].raw for request in requests] for caller in callers]
    found: dict[tuple[int, int], list[str]] = {}

    def work(number: int, thread: int) -> None:
        found[number, thread] = [callers[number].answer([request])[0].raw for request in requests]

    threads = [threading.Thread(target=work, args=(number, thread)) for number in range(2) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number, thread] == alone[number] for number in range(2) for thread in range(3))


def test_a_call_needs_neither_torch_nor_onnx(folders) -> None:
    code = (
        "import sys, needle; sys.modules.update(torch=None, transformers=None, onnx=None)\n"
        f"model = needle.load({str(folders[4])!r})\n"
        "print(model.call('stop', [{'name': 'stop', 'description': '', 'parameters': {'type': 'object', 'properties': {}}}]).raw)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(needle.__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("<"), done.stderr


def test_the_graphs_are_valid_onnx_that_names_its_inputs(folders) -> None:
    onnx = pytest.importorskip("onnx")
    shape, weights = Shape.read(folders[4]), WeightsFile.read(folders[4])
    for file, inputs in ((ENCODER, {"ids", "positions", "sizes"}), (DECODER, {"ids", "positions", "last", "bias", "past"})):
        model = onnx.load_from_string(make_graph(file, shape, weights))
        assert inputs <= {value.name for value in model.graph.input}
        assert {entry.domain for entry in model.opset_import} == {"", "com.microsoft"}
        made = {name for node in model.graph.node for name in node.output}
        assert {value.name for value in model.graph.output} <= made


def test_a_feed_forward_student_runs_too_and_one_with_joint_layers_says_what_to_do(tmp_path: Path, monkeypatch) -> None:


    monkeypatch.setattr(engines, "ACCURACY", 0)
    folder = stored(lively(ffn_size=96), tmp_path / "ffn", 8)
    for found, expected in zip(_logits(OnnxEngine(folder, fast=False)), _logits(TorchEngine.from_folder(folder)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(_logits(OnnxEngine(folder))[0] - expected).max() > 0
    joint = stored(lively(request_independent_layers=0), tmp_path / "joint", 4)
    with pytest.raises(UserError, match="at least one"):
        needle.load(joint, threads=0)
    with pytest.raises(UserError, match="engine='torch'"):
        needle.load(joint, engine="onnx")
    assert isinstance(needle.load(joint).engine, TorchEngine)


@pytest.mark.parametrize(("damage", "words"), [
    (lambda folder: (folder / "model.safetensors").unlink(), "no weights there"),
    (lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]), "cut off"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"nothing of the kind"), "not readable"),
    (lambda folder: (folder / "config.json").write_text("{"), "not a configuration"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "not a needle student"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "needle", "num_decoder_layers": 9}'), "lacks"),
    (lambda folder: (folder / "encoder.onnx").write_bytes(b"x"), "export the model again"),
])  # fmt: skip
def test_a_damaged_folder_is_refused_in_one_line(folders, tmp_path: Path, damage, words: str) -> None:
    for file in folders[4].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        OnnxEngine(tmp_path, fast=False)
    assert "\n" not in str(caught.value)
