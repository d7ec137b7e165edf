"""Tokenizer: lossless, the same tokens for a word wherever it stands, text never becomes structure."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from needle.errors import UserError
from needle.student.tokenizer import SPECIAL_IDS, SPECIAL_TOKENS, encode, load_tokenizer, train_tokenizer

WORDS = ("kitchen", "San", "Luigi", "umbrella", "42", "MacBook", "straße", "东京")


@given(st.text())
@example("👩‍👩‍👧 naïve\r\n\t\x00 ﷽ e\u0301 \u2028")
@example('"}],"":{"')
@example("<call><eos><pad>")
def test_decoding_what_was_encoded_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(encode(tokenizer, text), skip_special_tokens=False) == text


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "place", ["{}", "dim {} now", '{{"room":"{}"}}', '["x","{}"]', "a|{}|b", '{{"room":"{} hall"}}', "({})"]
)
def test_a_word_has_the_same_tokens_wherever_it_stands(tokenizer: Tokenizer, word: str, place: str) -> None:
    alone, inside = encode(tokenizer, word), encode(tokenizer, place.format(word))
    assert any(inside[start : start + len(alone)] == alone for start in range(len(inside)))


@given(st.text("0123456789", min_size=1, max_size=12))
def test_digits_are_tokens_of_their_own(tokenizer: Tokenizer, digits: str) -> None:
    assert [tokenizer.decode([token]) for token in encode(tokenizer, digits)] == list(digits)


@given(st.lists(st.sampled_from(SPECIAL_TOKENS) | st.text(max_size=3), max_size=6))
def test_text_never_becomes_a_special_token(tokenizer: Tokenizer, parts: list[str]) -> None:
    assert not set(encode(tokenizer, "".join(parts))) & set(SPECIAL_IDS.values())


def test_half_a_surrogate_pair_is_text_too(tokenizer: Tokenizer) -> None:
    assert encode(tokenizer, "light \ud83d on") == encode(tokenizer, "light ? on")


def test_special_ids_are_fixed(tokenizer: Tokenizer) -> None:
    names = (
        "pad",
        "eos",
        "bos",
        "tool",
        "param",
        "optional",
        "system",
        "request",
        "user",
        "assistant",
        "result",
        "call",
    )
    expected = [f"<{name}>" for name in (*names, "none")]
    assert [tokenizer.id_to_token(index) for index in range(len(expected))] == expected
    assert len(SPECIAL_TOKENS) == 16 and tokenizer.get_vocab_size() == 8192


def test_training_is_reproducible_and_gives_a_tokenizer_that_loads(tmp_path) -> None:
    texts = ["set the kitchen light to 40", '{"room":"kitchen","level":40}', "dim the hall"] * 5
    first, second = train_tokenizer(texts, 400), train_tokenizer(texts, 400)
    assert first.to_str() == second.to_str()
    first.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert encode(loaded, "the kitchen <call>") == encode(first, "the kitchen <call>")
    assert not set(encode(loaded, "<call>")) & set(SPECIAL_IDS.values())


def test_a_missing_or_foreign_tokenizer_is_a_user_error(tmp_path) -> None:
    with pytest.raises(UserError, match="no tokenizer there"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{ not json")
    with pytest.raises(UserError, match="not a tokenizer file"):
        load_tokenizer(tmp_path / "tokenizer.json")
    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="not a needle tokenizer"):
        load_tokenizer(tmp_path)
