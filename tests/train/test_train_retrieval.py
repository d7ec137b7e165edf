"""The head that finds tools by meaning, and the heads of attention that point at words."""

from __future__ import annotations

import numpy as np
from train_helpers import LIGHT, TIMER, rows, tiny_model

from needle.student.retrieval import RetrievalHead
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace
from needle.train.heads import Looked, choose_heads, looked
from needle.train.retrieval import Trial, choose_weight, fit_head, recall, trials


def test_a_head_learns_which_tools_requests_belong_to_though_their_vectors_lie_elsewhere():
    rng = np.random.default_rng(0)
    tools = rng.normal(size=(60, 32)).astype(np.float32)
    turned = np.linalg.qr(rng.normal(size=(32, 32)))[0].astype(np.float32)
    right = [[int(place)] for place in rng.integers(0, 60, 600)]
    asked = np.stack([tools[place[0]] @ turned for place in right]) + rng.normal(size=(600, 32)).astype(np.float32) * 0.3

    def near(heads: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        head = RetrievalHead(*heads, 1.0)
        return (head.requests(asked[500:]) @ head.tools(tools).T).argmax(1)

    plain = near((np.eye(32, dtype=np.float32),) * 2)
    heads = fit_head(asked[:500], tools, right[:500], size=32, epochs=80)
    found = near(heads)
    hits = [np.mean([place in gold for place, gold in zip(chosen, right[500:], strict=True)]) for chosen in (plain, found)]
    assert hits[1] > 0.8 > 0.3 > hits[0]
    first, again = (fit_head(asked[:500], tools, right[:500], size=32, epochs=3) for _ in range(2))
    assert all((one == other).all() for one, other in zip(first, again, strict=True))


def test_a_weight_is_chosen_on_one_half_of_the_toolsets_and_measured_on_the_other():
    def trial(toolset: str, near: float, pool: int) -> Trial:
        """Words like the wrong tool better, by 1; the head likes the right one by ``near``."""
        return Trial(toolset, pool, np.array([1.0, *[0.0] * 9]), np.array([0.0, near, *[0.0] * 8]), (1,))

    helps = [trial(name, 0.15, pool) for name in "abcd" for pool in (50, 100)]
    weight, found = choose_weight(helps)
    assert weight == 10 and found[50][1] == {"words": 0.0, "both": 1.0} and recall(helps, 5)[100][1] == 0.0
    harmful = [Trial(name, pool, np.array([1.0, 0.5]), np.array([0.0, 0.9]), (0,)) for name in "abcd" for pool in (50, 100)]
    assert choose_weight(harmful)[0] == 0


def test_a_request_looks_for_its_tools_among_those_of_its_toolset_and_others():
    tools = [ToolSpec(f"tool_{number}", f"word{number}") for number in range(120)]
    held = [Trace(f"r{n}", f"say word{n}", tuple(tools[:4]), (ToolCall(f"tool_{n}", {}),), toolset="a") for n in (1, 2)]
    held.append(Trace("s", "word9", (tools[9], tools[8]), (ToolCall("tool_9", {}), ToolCall("tool_8", {})), toolset="b"))
    made = trials(held, tools, np.zeros((3, 120), dtype=np.float32), lambda tool: tool.name)
    assert [(one.toolset, one.pool, len(one.words), len(one.right)) for one in made] == [
        ("a", 50, 50, 1), ("a", 50, 50, 1), ("a", 100, 100, 1), ("a", 100, 100, 1), ("b", 50, 50, 2), ("b", 100, 100, 2),
    ]  # fmt: skip
    assert [one.worst(0.0) for one in made[:4]] == [0] * 4 and made[4].worst(0.0) > 0


def test_attention_is_read_for_every_value_and_sums_to_at_most_one(tokenizer):
    row = rows()[4]
    model = tiny_model().eval()
    seen = {one.path: one for one in looked(model, tokenizer, row.request, row.calls)}
    assert seen.keys() == {"0.room", "0.level", "1.room", "1.level"}
    config = model.config
    for one in seen.values():
        assert one.weights_LHQ.shape == (config.num_decoder_layers, config.num_attention_heads, len(one.offsets))
        assert (one.weights_LHQ >= 0).all() and (one.weights_LHQ.sum(-1) <= 1 + 1e-5).all()
        assert 0 < sum(one.characters([[0, 0], [1, 0]], len(row.query))) <= 1 + 1e-5


def test_the_heads_that_point_are_chosen():
    offsets = [(0, 4), (4, 5), (5, 9)]
    weights = np.full((2, 2, 3), 0.1, dtype=np.float32)
    weights[1, 0, 2] = weights[0, 1, 2] = 0.8
    weights[0, 0, 0] = 0.8
    found = [(Looked("0.a", weights, offsets), (5, 9))] * 3
    assert sorted(choose_heads(found)) == [[0, 1], [1, 0]] and len(choose_heads(found, 1)) == 1
