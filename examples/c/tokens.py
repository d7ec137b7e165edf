"""Token ids for ``session.c`` and back: what the tokenizer does in a program that has its own.

    python examples/c/tokens.py encode FOLDER tools.json "dim the hall to 40" "stop" > ids.txt
    session FOLDER < ids.txt | python examples/c/tokens.py decode FOLDER
"""

from __future__ import annotations

import sys

import needle
from needle.student.rendering import render_request, render_tools
from needle.student.tokenizer import EOS, SPECIAL_IDS, load_tokenizer
from needle.tools import Request


def encode(folder: str, tools: str, queries: list[str]) -> list[str]:
    """A line for the toolset, and one for each request."""
    tokenizer, specs = load_tokenizer(folder), tuple(needle.load_toolset(tools))
    lines = [render_tools(tokenizer, specs), *(render_request(tokenizer, Request(query, specs)) for query in queries)]
    return [" ".join(map(str, ids)) for ids in lines]


def decode(folder: str, lines: list[str]) -> list[str]:
    """The text of each answer."""
    tokenizer = load_tokenizer(folder)
    answers = [[int(word) for word in line.split() if int(word) != SPECIAL_IDS[EOS]] for line in lines]
    return [tokenizer.decode(ids, skip_special_tokens=False) for ids in answers]


if __name__ == "__main__":
    if len(sys.argv) > 4 and sys.argv[1] == "encode":
        print("\n".join(encode(sys.argv[2], sys.argv[3], sys.argv[4:])))
    elif len(sys.argv) == 3 and sys.argv[1] == "decode":
        print("\n".join(decode(sys.argv[2], sys.stdin.read().splitlines())))
    else:
        sys.exit(__doc__)
