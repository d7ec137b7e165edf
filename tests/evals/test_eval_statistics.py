"""Intervals and paired tests against what they promise."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from needle.evals.statistics import Clusters, compare_paired, mcnemar, rate, smallest_detectable, wilson


def test_the_wilson_interval_equals_published_figures():
    # Newcombe (1998), table I: 81 of 263 and 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_rates_repeat_under_one_seed_and_contain_their_value():
    rng = np.random.default_rng(1)
    hits, labels = list(rng.random(200) < 0.4), [place // 8 for place in range(200)]
    first = rate(hits, labels, seed=3)
    assert first == rate(hits, labels, seed=3)
    assert first.low < first.value < first.high


def test_the_interval_covers_the_truth_where_clusters_differ():
    rng = np.random.default_rng(0)
    covered = naive = 0
    trials = 200
    for trial in range(trials):
        chances = rng.beta(2, 2, size=40)  # mean 0.5; rows of a cluster hang together
        hits = (rng.random((40, 10)) < chances[:, None]).ravel().tolist()
        found = rate(hits, [place // 10 for place in range(400)], seed=trial)
        covered += found.low <= 0.5 <= found.high
        low, high = wilson(sum(hits), 400)
        naive += low <= 0.5 <= high
    assert covered / trials >= 0.90
    assert naive / trials < 0.85  # what treating rows as independent would claim


def test_one_cluster_or_a_clean_sweep_does_not_feign_certainty():
    assert rate([True] * 50, ["one"] * 50).low < 0.95
    half = rate([True, False] * 25, ["one"] * 50)
    assert half.low < 0.4 and half.high > 0.6
    assert rate([True] * 50, list(range(50))).low < 0.95


def test_no_rows_give_an_empty_rate():
    assert Clusters([]).rate([]).n == 0
    assert compare_paired([], [], []).p_value == 1.0


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (10, 2), (3, 17)])
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    n, k = gained + lost, min(gained, lost)
    exact = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)
    assert mcnemar(gained, lost) == pytest.approx(exact)
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


def test_mcnemar_survives_large_counts():
    assert 0 <= mcnemar(40_000, 30_000) < 1e-12
    assert mcnemar(50_000, 50_000) == pytest.approx(1.0)


def test_a_paired_comparison_is_antisymmetric_and_blind_to_equal_rows():
    rng = np.random.default_rng(5)
    a, b = list(rng.random(300) < 0.5), list(rng.random(300) < 0.6)
    labels = [place // 10 for place in range(300)]
    there, back = compare_paired(a, b, labels), compare_paired(b, a, labels)
    assert there.difference == -back.difference and there.p_value == back.p_value
    assert there.low == pytest.approx(-back.high, abs=0.01)
    same = compare_paired(a, a, labels)
    assert (same.gained, same.lost, same.difference, same.p_value) == (0, 0, 0.0, 1.0)
    assert same.low == -same.high and 0 < same.high < 0.01


def test_a_few_rows_without_a_flip_rule_nothing_out():
    for n, half in ((2, 0.49), (20, 0.09), (1000, 0.002)):
        same = compare_paired([True] * n, [True] * n, list(range(n)))
        assert same.high == -same.low == pytest.approx(half, rel=0.05) and same.detectable > 0
    lost = compare_paired([True] * 4, [False] * 4, list(range(4)))
    assert lost.low == lost.difference == -1.0 and lost.high > -0.4


def test_a_difference_of_the_detectable_size_is_found_about_four_times_in_five():
    rng = np.random.default_rng(2)
    n, found = 300, 0
    labels = list(range(n))
    base = rng.random(n) < 0.5
    size = compare_paired(list(base), list(rng.permutation(base)), labels).detectable
    for _ in range(60):
        a, b = rng.random(n) < 0.5, rng.random(n) < 0.5 + size
        found += compare_paired(list(a), list(b), labels).low > 0
    assert 0.6 < found / 60 < 0.95


def test_the_detectable_difference_shrinks_with_the_error():
    assert smallest_detectable(0.01) == pytest.approx(0.028, abs=1e-3)
