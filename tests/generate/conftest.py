"""A small toolset on disk, and a short way to run a generation into a fresh folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generate_helpers import TOOLS

from needle.generate import GenerateConfig, GenerateReport, generate


@pytest.fixture(autouse=True)
def without_traces(tmp_path_factory, monkeypatch):
    """Phrase from schemas alone: these tests are about the job, and need not read the recorded traces each time."""
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path_factory.getbasetemp() / "no-data"))


@pytest.fixture
def tools_file(tmp_path) -> Path:
    path = tmp_path / "app.json"
    path.write_text(json.dumps(TOOLS))
    return path


@pytest.fixture
def run(tools_file, tmp_path):
    def run(folder: str = "out", progress=None, transport=None, **settings) -> GenerateReport:
        config = GenerateConfig(**({"tools": tools_file, "out": tmp_path / folder, "n": 60} | settings))
        return generate(config, progress, transport=transport)

    return run
