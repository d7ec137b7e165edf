"""A folder of traces to the Hugging Face Hub, through ``datasets``: its parts as Parquet, its card as the README.

    push_traces("out/home", "me/home-traces")          # private unless told otherwise; needs `hf auth login` or HF_TOKEN
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from needle.errors import UserError
from needle.traces.read import read_traces
from needle.traces.split import split_files
from needle.traces.write import flat_columns

NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
CARD = "README.md"


def push_traces(folder: str | os.PathLike[str], repo: str, *, private: bool = True) -> str:
    """Upload the parts of a folder and its card; returns the address.

    Raises:
        UserError: not a folder of traces, no card, no name of a repository, no permission, or no network.
    """
    folder = Path(folder)
    if not NAME.fullmatch(repo):
        raise UserError(f"{repo!r} is no repository's name; give OWNER/NAME")
    files = split_files(folder)
    if not files:
        raise UserError(f"{folder}: no train, validation or test file in it; generate or split first")
    if not (folder / CARD).is_file():
        raise UserError(f"{folder}: no {CARD}; write the card first with: needle traces card {folder} --text CARD.json --out {folder / CARD}")
    from datasets import Dataset, DatasetDict  # here: importing it takes seconds
    from huggingface_hub import HfApi

    parts = {part: [trace.to_dict() for trace in read_traces(file)[0]] for part, file in files.items() if file.stat().st_size}
    columns = list(dict.fromkeys(name for rows in parts.values() for row in rows for name in row))
    every = [row for rows in parts.values() for row in rows]  # a column that is empty in one part has the type of the others
    features = Dataset.from_dict(flat_columns(every, columns)).features
    data = DatasetDict({part: Dataset.from_dict(flat_columns(rows, columns), features=features) for part, rows in parts.items()})
    try:
        data.push_to_hub(repo, private=private)
        HfApi().upload_file(path_or_fileobj=str(folder / CARD), path_in_repo=CARD, repo_id=repo, repo_type="dataset")
    except Exception as error:  # noqa: BLE001 - the hub's client raises errors of several libraries
        raise UserError(f"{repo}: not uploaded ({_reason(error)}); nothing on this machine was changed") from error
    return f"https://huggingface.co/datasets/{repo}"


def _reason(error: Exception) -> str:
    """What went wrong in words that say what to do."""
    name, text = type(error).__name__, " ".join(str(error).split())
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "Offline" in name or "offline mode" in text.lower():
        return "offline mode is on; unset HF_HUB_OFFLINE and try again"
    if status in (401, 403) or "Token" in name or "authenticat" in text.lower():
        return "the hub did not let you in; run `hf auth login` or set HF_TOKEN, and check that you may write there"
    if "Connect" in name or "Timeout" in name or "connect" in text.lower() or "resolve" in text.lower():
        return "the hub cannot be reached; check the network and run the same command again"
    return f"{name}: {text[:160]}"
