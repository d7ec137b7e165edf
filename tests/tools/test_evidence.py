"""Spans of a request behind arguments: the place that says a value, chosen by text and by attention."""

from __future__ import annotations

import random

from needle.tools import Request, ToolCall, ToolSpec
from needle.tools.caller import CallResult
from needle.tools.grounding.evidence import attended_span, explain, find_evidence
from needle.tools.grounding.said import by_words, words_of

BOOK = ToolSpec("book", "Book a stay.", {"type": "object", "properties": {
    "rooms": {"type": "integer"}, "people": {"type": "integer"}, "day": {"type": "string", "format": "date"}, "time": {"type": "string"},
    "pets": {"type": "boolean"}, "city": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
    "class": {"type": "string", "enum": ["economy", "premium"]}, "bed": {"type": "object", "properties": {"size": {"type": "string"}}}}})  # fmt: skip
QUERY = "book 2 rooms for two people in Paris on the 3rd of May at half past four pm, with pets, quiet and a king bed"


def _words(query: str, arguments: dict, weights: dict | None = None) -> dict[str, str]:
    request = Request(query, (BOOK,), "Today is 2026-02-01")
    return {one.path: query[one.start : one.end] for one in find_evidence(request, [ToolCall("book", arguments)], weights)}


def _peak(query: str, *words: str) -> list[float]:
    """All attention on the last place of each word."""
    weights = [0.0] * len(query)
    for word in words:
        start = query.rindex(word)
        weights[start : start + len(word)] = [0.9 / len(words) / len(word)] * len(word)
    return weights


def test_values_are_found_in_the_form_in_which_they_are_said():
    arguments = {"rooms": 2, "people": 2, "day": "2026-05-03", "time": "16:30", "pets": True, "city": "Paris", "tags": ["quiet"], "bed": {"size": "king"}}
    assert _words(QUERY, arguments) == {
        "0.rooms": "2", "0.people": "two", "0.day": "3rd of May", "0.time": "half past four pm", "0.pets": "pets", "0.city": "Paris",
        "0.tags.0": "quiet", "0.bed.size": "king",
    }  # fmt: skip


def test_equal_values_of_two_arguments_have_different_places():
    assert _words("for 2 people 2 rooms please", {"rooms": 2, "people": 2}) == {"0.people": "2", "0.rooms": "2"}
    spans = find_evidence(Request("for 2 people 2 rooms please", (BOOK,)), [ToolCall("book", {"rooms": 2, "people": 2})])
    assert {one.path: one.start for one in spans} == {"0.rooms": 13, "0.people": 4}


def test_words_keep_their_places_behind_what_is_masked():
    text = "\0\0\0\0 at lindenFarm_2, Köln"
    assert [(word, text[start:end]) for word, start, end in words_of(text)] == [("at", "at"), ("linden", "linden"), ("farm", "Farm"), ("2", "2"), ("koln", "Köln")]
    assert by_words("Köln farms", text) == (text.index("Farm"), len(text))


def test_attention_chooses_among_the_places_of_a_value():
    query = "from Rome, no, cancel Rome, I mean the other Rome"
    request = Request(query, (BOOK,))
    (found,) = find_evidence(request, [ToolCall("book", {"city": "Rome"})], {"0.city": _peak(query, "Rome")})
    assert (found.start, found.end) == (45, 49) and found.score > 0.9
    (plain,) = find_evidence(request, [ToolCall("book", {"city": "Rome"})])
    assert plain.score < 0.5


def test_attention_alone_points_where_a_value_has_no_words():
    query = "the cheap seats will do for Ana"
    assert "0.class" not in _words(query, {"class": "economy"})
    assert _words(query, {"class": "economy"}, {"0.class": _peak(query, "cheap", "seats")}) == {"0.class": "cheap seats"}
    assert attended_span("?!", [0.0, 0.0]) is None or attended_span("", []) is None


def test_what_the_request_does_not_say_has_no_evidence_and_scores_are_shares():
    assert _words("book something nice", {"city": "Oslo", "people": 4}) == {}
    assert all(0 <= one.score <= 1 for one in find_evidence(Request(QUERY, (BOOK,)), [ToolCall("book", {"rooms": 2, "city": "Paris"})]))


def test_calls_keep_their_number_and_answers_that_have_evidence_keep_it():
    request = Request("Rome and Paris", (BOOK,))
    result = CallResult([ToolCall("unknown", {"a": 1}), ToolCall("book", {"city": "Paris"})])
    explain([request], [result])
    assert [(one.path, one.start) for one in result.evidence] == [("1.city", 9)]
    before = result.evidence
    explain([Request("Paris", (BOOK,))], [result])
    assert result.evidence is before


def test_any_text_can_be_looked_for_in_any_request():
    signs = ["²", "½", "①", "٣", "ſ", "\0", '"', "/", ".", "-", "T", "5", "20", "may", "half", "kg", "9" * 500, "5000000000000000000", "2026-", "13:70", "e5", "𝟗", "🎉"]
    chance = random.Random(0)
    found = 0
    for _ in range(1500):
        query, value = ("".join(chance.choice(signs) + chance.choice(("", " ")) for _ in range(chance.randint(0, most))) for most in (9, 4))
        found += len(find_evidence(Request(query, (BOOK,)), [ToolCall("book", {"city": value, "time": value, "class": value})]))
    assert found > 100
    assert _words("4 x² at 5", {"city": "4 x²"}) == {"0.city": "4 x²"}
