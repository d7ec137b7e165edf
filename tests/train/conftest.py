"""One thread, one tokenizer for the tests of this room."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer

from needle.student.tokenizer import load_tokenizer


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load_tokenizer()
