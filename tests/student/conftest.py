"""The bundled tokenizer, its grammars, real traces, a tiny model: read once for the tests of this room."""

from __future__ import annotations

import gzip
import itertools
import json

import pytest
import torch
from hypothesis import HealthCheck, settings
from student_helpers import DATA, tiny_model
from tokenizers import Tokenizer

from needle.student.grammar import Constraint
from needle.student.modeling import NeedleModel
from needle.student.tokenizer import load_tokenizer
from needle.traces import Trace
from needle.traces.formats import trace_from_dict

settings.register_profile(
    "needle",
    deadline=None,
    database=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("needle")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load_tokenizer()


@pytest.fixture(scope="session")
def constraint(tokenizer: Tokenizer) -> Constraint:
    return Constraint(tokenizer)


@pytest.fixture(scope="session")
def model() -> NeedleModel:
    return tiny_model()


@pytest.fixture(scope="session")
def traces() -> list[Trace]:
    """300 recorded traces, spread over all toolsets of the validation file."""
    with gzip.open(DATA / "traces" / "validation.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [trace_from_dict(json.loads(line)) for line in itertools.islice(lines, 0, 3600, 12)]
