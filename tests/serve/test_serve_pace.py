"""Sizes of batches follow what they cost, and go on following it."""

from __future__ import annotations

import pytest

from needle.serve.pace import TRIED_AGAIN, Pace


def play(pace: Pace, cost, rounds: int, most: int = 8) -> list[int]:
    """Sizes that are chosen while ``most`` requests wait all the time and a batch of n takes ``cost(n)`` seconds."""
    sizes = []
    for _ in range(rounds):
        sizes.append(size := pace.best(most))
        pace.note(size, cost(size))
    return sizes


@pytest.mark.parametrize(
    ("cost", "size"), [(lambda n: 1 + 0.1 * n, 8), (lambda n: float(n), 1), (lambda n: 0.5 * n + n * n / 8, 1)]
)
def test_the_cheapest_known_size_is_taken_and_at_equal_cost_the_smaller(cost, size):
    pace = Pace()
    pace.note(1, cost(1))
    sizes = play(pace, cost, 60)
    assert sizes.count(size) >= 55 and set(sizes) <= {1, 8}


def test_nothing_is_split_before_anything_is_known():
    pace = Pace()
    assert [pace.best(most) for most in (1, 5, 16)] == [1, 5, 16]


def test_a_change_is_noticed():
    pace = Pace()
    pace.note(1, 1.0)
    assert play(pace, lambda n: float(n), 20)[1:] == [1] * 19
    assert play(pace, lambda n: 1.0, 20 * TRIED_AGAIN)[-TRIED_AGAIN:].count(8) >= TRIED_AGAIN - 1


def test_a_size_between_two_powers_counts_for_the_lower_one():
    pace = Pace()
    pace.note(1, 1.0)
    pace.note(7, 0.7)
    assert pace.best(6) == 6 and pace.best(9) == 9
