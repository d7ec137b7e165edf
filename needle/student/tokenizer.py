"""Byte-level BPE tokenizer of the student. Train one with ``needle train-tokenizer``.

Copying is the core skill of a tool-caller, so a word must be the same tokens wherever it stands: in the request, in an enum, in a JSON string.
Therefore spaces, digits and punctuation marks are tokens of their own and words split at case changes; only the JSON connectives of an
answer (such as ``":"``) are kept whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from needle.errors import UserError

PAD, EOS, BOS = "<pad>", "<eos>", "<bos>"
TOOL, PARAM, OPTIONAL = "<tool>", "<param>", "<optional>"
SYSTEM, REQUEST, USER, ASSISTANT, RESULT = "<system>", "<request>", "<user>", "<assistant>", "<result>"
CALL, NONE = "<call>", "<none>"
RESERVED = tuple(f"<reserved{i}>" for i in range(3))
SPECIAL_TOKENS = (PAD, EOS, BOS, TOOL, PARAM, OPTIONAL, SYSTEM, REQUEST, USER, ASSISTANT, RESULT, CALL, NONE, *RESERVED)
"""Ids are positions in this tuple; they never change."""
SPECIAL_IDS = {token: index for index, token in enumerate(SPECIAL_TOKENS)}

_PIECES = r"""\{"|":\{"|":\["|":"|","|":|,"|"\}|"\]| |\p{N}|\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\p{L}+|\s|."""
BUNDLED = Path(__file__).parent / "assets" / "tokenizer.json"


def train_tokenizer(texts: Iterable[str], vocab_size: int = 8192) -> Tokenizer:
    """Learn the merges from ``texts``; reproducible for the same texts in the same order."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def load_tokenizer(path: str | Path | None = None) -> Tokenizer:
    """Read ``tokenizer.json`` (a file, a checkpoint folder, or None for the bundled one).

    Text never turns into special tokens: a request that says ``<call>`` is just those characters.
    """
    file = BUNDLED if path is None else Path(path)
    file = file / "tokenizer.json" if file.is_dir() else file
    if not file.is_file():
        raise UserError(f"{file}: no tokenizer there; give a checkpoint folder that holds tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        raise UserError(f"{file}: not a tokenizer file ({error})") from error
    for token, index in SPECIAL_IDS.items():
        if tokenizer.token_to_id(token) != index:
            raise UserError(f"{file}: not a needle tokenizer ({token} should have id {index}); train one with `needle train-tokenizer`")
    tokenizer.encode_special_tokens = True
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, file: Path) -> None:
    """Write ``tokenizer.json``. Raises ``OSError``; the library's own way to save raises a bare ``Exception``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of plain text; half a surrogate pair, which no UTF-8 can hold, becomes a question mark."""
    return tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False).ids
