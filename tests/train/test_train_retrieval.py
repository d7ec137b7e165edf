"""The head that finds tools by meaning, and the heads of attention that point at words."""

from __future__ import annotations

import numpy as np
from train_helpers import LIGHT, TIMER, rows, tiny_model

from needle.tools import Request
from needle.train.heads import Looked, choose_heads, looked
from needle.train.retrieval import fit_head, pooled_requests, pooled_tools, similarity


def test_a_head_learns_which_tools_requests_belong_to_though_their_vectors_lie_elsewhere():
    rng = np.random.default_rng(0)
    tools = rng.normal(size=(60, 32)).astype(np.float32)
    turned = np.linalg.qr(rng.normal(size=(32, 32)))[0].astype(np.float32)
    right = [[int(place)] for place in rng.integers(0, 60, 600)]
    asked = np.stack([tools[place[0]] @ turned for place in right]) + rng.normal(size=(600, 32)).astype(np.float32) * 0.3
    plain = similarity(asked[500:], tools, (np.eye(32, dtype=np.float32),) * 2).argmax(1)
    heads = fit_head(asked[:500], tools, right[:500], size=32, epochs=120)
    found = similarity(asked[500:], tools, heads).argmax(1)
    hits = [np.mean([place in gold for place, gold in zip(chosen, right[500:], strict=True)]) for chosen in (plain, found)]
    assert hits[1] > 0.8 > 0.3 > hits[0]
    again = fit_head(asked[:500], tools, right[:500], size=32, epochs=120)
    assert all((one == other).all() for one, other in zip(heads, again, strict=True))


def test_vectors_of_a_batch_are_those_of_one_by_one(tokenizer):
    model = tiny_model().eval()
    requests = [Request(one.query, ()) for one in rows()]
    whole, alone = pooled_requests(model, tokenizer, requests), np.concatenate([pooled_requests(model, tokenizer, [one]) for one in requests])
    assert np.allclose(whole, alone, atol=1e-5) and whole.shape == (9, model.config.hidden_size)
    tools = pooled_tools(model, tokenizer, [LIGHT, TIMER])
    assert np.allclose(tools[1], pooled_tools(model, tokenizer, [TIMER])[0], atol=1e-5) and not np.allclose(tools[0], tools[1])


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
