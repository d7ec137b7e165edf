"""A head beside the weights finds tools by meaning; without one the words alone decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from student_helpers import tiny_model

from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.modeling.engine import TorchEngine
from needle.student.retrieval import FILE, Finder, RetrievalHead, pooled_width, request_source, tool_source
from needle.tools import Request, ToolSpec

TOPICS = "weather music lights doors alarms invoices flights hotels recipes parcels trains taxis".split()
TOOLS = tuple(ToolSpec(f"get_{topic}", f"Everything about {topic}.") for topic in TOPICS)


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    return TorchEngine(tiny_model(max_source_tokens=96, max_target_tokens=24))


def _to_first(engine, tokenizer, text: str, tool: ToolSpec, weight: float) -> RetrievalHead:
    """A head of one dimension each, under which ``text`` lies nearest to ``tool``."""
    asked = engine.pooled([request_source(tokenizer, text, 99)])[0]
    known = engine.pooled([tool_source(tokenizer, one, 99) for one in TOOLS])
    mine = known[TOOLS.index(tool)] - known.mean(0)
    return RetrievalHead(np.stack([asked, np.zeros_like(asked)], 1), np.stack([mine, known.mean(0) - mine * (known.mean(0) @ mine) / (mine @ mine)], 1), weight)


def test_texts_of_a_batch_are_read_as_one_by_one(engine, tokenizer):
    sources = [tool_source(tokenizer, tool, 99) for tool in TOOLS[:3]] + [request_source(tokenizer, text, 99) for text in ("any trains", "dim the lights please")]
    whole = engine.pooled(sources)
    assert whole.shape == (5, pooled_width(engine.config)) and pooled_width(engine.config) == engine.config.hidden_size
    assert np.allclose(whole, np.concatenate([engine.pooled([one]) for one in sources]), atol=1e-4) and not np.allclose(whole[0], whole[1])


def test_a_tool_that_shares_no_word_with_the_request_is_shown_when_the_head_finds_it(engine, tokenizer):
    text, wanted = "qqq zzz", TOOLS[-1]
    head = _to_first(engine, tokenizer, text, wanted, 10.0)
    request = Request(text, TOOLS)
    plain, learnt = (StudentCaller(engine, tokenizer, most_tools=1, retrieval=one).answer([request])[0] for one in (None, head))
    assert plain.offered == (TOOLS[0].name,) and learnt.offered == (wanted.name,) == learnt.ranked[:1]
    assert sorted(learnt.ranked) == sorted(tool.name for tool in TOOLS) and plain.ranked == tuple(tool.name for tool in TOOLS)
    assert StudentCaller(engine, tokenizer, retrieval=head).settings != StudentCaller(engine, tokenizer).settings
    words = Request("any hotels", TOOLS)
    assert StudentCaller(engine, tokenizer, most_tools=1, retrieval=replace(head, weight=1e-3)).answer([words])[0].offered == ("get_hotels",)


def test_vectors_of_tools_are_made_once(engine, tokenizer, monkeypatch):
    head = _to_first(engine, tokenizer, "qqq", TOOLS[0], 1.0)
    finder, asked = Finder(head, engine, tokenizer), []
    pooled = engine.pooled
    monkeypatch.setattr(engine, "pooled", lambda sources, keep=None: asked.append(len(sources)) or pooled(sources, keep))
    first, again, more = finder.vectors(TOOLS[:4]), finder.vectors(TOOLS[3::-1]), finder.vectors(TOOLS[:6])
    assert asked == [4, 2] and np.allclose(first, again[::-1]) and np.allclose(more[:4], first) and np.allclose(np.linalg.norm(more, axis=1), 1)


def test_the_file_gives_the_head_again_and_other_files_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    head = RetrievalHead(rng.normal(size=(64, 8)).astype(np.float32), rng.normal(size=(64, 8)).astype(np.float32), 5.0, {"requests": 3})
    assert RetrievalHead.load(tmp_path) is None
    head.save(tmp_path)
    read = RetrievalHead.load(tmp_path)
    assert (read.weight, read.fitted_on) == (5.0, {"requests": 3}) and np.allclose(read.tools_DS, head.tools_DS, atol=1e-2)
    read.save(tmp_path)
    assert RetrievalHead.load(tmp_path).digest == read.digest and [path.name for path in tmp_path.iterdir()] == [FILE]
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:200])
    with pytest.raises(UserError, match="calibrate --retrieval"):
        RetrievalHead.load(tmp_path)
    replace(head, weight=float("nan")).save(tmp_path)
    with pytest.raises(UserError, match="no retrieval head"):
        RetrievalHead.load(tmp_path)


def test_a_head_of_another_model_is_refused_in_a_line(engine, tokenizer):
    with pytest.raises(UserError, match="fitted for another model"):
        StudentCaller(engine, tokenizer, retrieval=RetrievalHead(np.ones((7, 2), dtype=np.float32), np.ones((7, 2), dtype=np.float32), 1.0))
