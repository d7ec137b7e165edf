"""Shared by all rooms: one thread, no network, and (on demand) the command line in-process, a tiny base, a few traces."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

# Before torch and tokenizers are imported: tests are small, and run beside other work.
for _name, _value in (("OMP_NUM_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false"), ("HF_HUB_OFFLINE", "1")):
    os.environ.setdefault(_name, _value)

ROOT = Path(__file__).parents[1]
HOME = ROOT / "data" / "toolsets" / "home.json"
KEYS = ("OPENAI_API_KEY", "NEEDLE_API_KEY")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process a core for the whole suite; none beside this one when files or tests are named."""
    whole = all((ROOT / name).resolve() in (ROOT, ROOT / "tests") for name in config.args)
    return len(os.sched_getaffinity(0)) if whole and len(os.sched_getaffinity(0)) > 1 else 0


@dataclass(frozen=True)
class Outcome:
    """What a command line did."""

    code: int
    """Exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""

    @property
    def last(self) -> str:
        """Last line of the output."""
        return self.out.strip().splitlines()[-1]

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that refused bad input; fails when there is another line or a traceback."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("needle: "), self.err
        return lines[0]


def run_cli(*arguments: object, debug: bool = False) -> Outcome:
    """Run a command line in this process, as the entry point does."""
    from needle.cli import app, guarded

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: app([str(argument) for argument in arguments], standalone_mode=False), debug)
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture
def cli() -> Callable[..., Outcome]:
    """``cli("run", "dim the hall", "--tools", path)`` in this process."""
    return run_cli


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """A checkpoint of random weights, small enough to train for a step in no time."""
    import torch

    from needle.student.modeling import NeedleConfig, NeedleModel
    from needle.student.tokenizer import load_tokenizer
    from needle.train.checkpoint import save_checkpoint

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = {"num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = NeedleModel(NeedleConfig(hidden_size=64, request_independent_layers=2, max_target_tokens=80, **shape))
    folder = tmp_path_factory.mktemp("base") / "tiny"
    save_checkpoint(folder, model, load_tokenizer(), {})
    return folder


@pytest.fixture(scope="session", autouse=True)
def _few_replayed_rows(tmp_path_factory) -> Iterator[None]:
    """A fine-tune replays from the first 300 recorded rows: all of them take longer to read than a test's run to train."""
    few = tmp_path_factory.mktemp("recorded") / "train.jsonl.gz"
    with gzip.open(ROOT / "data" / "traces" / "train.jsonl.gz") as whole, gzip.open(few, "wb") as file:
        file.writelines(islice(whole, 300))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("needle.distil.RECORDED", str(few))
        yield


@pytest.fixture(scope="session")
def no_traces(tmp_path_factory) -> str:
    """An empty data folder: the embedded teacher then phrases from schemas, without reading the recorded traces."""
    return str(tmp_path_factory.mktemp("no-data"))


@pytest.fixture(scope="session")
def home_traces(tmp_path_factory, no_traces) -> Path:
    """A folder of 60 generated traces over the home toolset."""
    folder = tmp_path_factory.mktemp("traces") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEEDLE_DATA", no_traces)
        outcome = run_cli("generate", "--tools", HOME, "--n", 60, "--out", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """``write("tools.json", data)``: a file of text, of JSON, or (a list, for ``.jsonl``) of JSON lines."""

    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        if not isinstance(content, str):
            lines = content if name.endswith(".jsonl") else [content]
            content = "".join(json.dumps(line) + "\n" for line in lines)
        path.write_text(content)
        return path

    return write
