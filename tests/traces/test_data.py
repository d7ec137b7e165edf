"""The published traces: complete, valid, and split so that nothing of the test part can be learnt by heart."""

from pathlib import Path

import pytest

from needle.tools import fingerprint
from needle.traces import KINDS, dataset_card, load_card_text, read_traces, split_files
from needle.traces.contamination import contamination
from needle.traces.split import family

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def parts():
    read = {part: read_traces(path) for part, path in split_files(DATA / "traces").items()}
    assert all(problems == [] for _, problems in read.values()), "every row of the project's own data is valid"
    return {part: traces for part, (traces, _) in read.items()}


def test_all_rows_are_there(parts):
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 29_862, "validation": 3_749, "test": 3_697}
    assert {row.kind for rows in parts.values() for row in rows} == {"single", "parallel", "irrelevant", "missing", "chat", "negated"} <= set(KINDS)
    assert len({row.id for rows in parts.values() for row in rows}) == 37_308


def test_no_toolset_and_no_tool_list_is_in_two_parts(parts):
    names = [{row.toolset for row in rows} for rows in parts.values()]
    lists = []
    for rows in parts.values():
        distinct = {id(row.tools): row.tools for row in rows}.values()
        lists.append({fingerprint(sorted(tools, key=lambda tool: tool.name)) for tools in distinct})
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not names[first] & names[second]
        assert not lists[first] & lists[second]
    assert [len(group) for group in names] == [1540, 193, 192]


def test_few_requests_and_tools_of_the_test_part_are_in_the_training_part(parts):
    counts = contamination(parts["train"], {"test": parts["test"]}).counts()["test"]
    assert counts["overlap"] < 0.001 * len(parts["train"]) and 0 < counts["request"] < 0.02 * len(parts["train"])


def test_every_family_is_in_every_part_in_its_share(parts):
    sets = {part: {row.toolset: family(row) for row in rows} for part, rows in parts.items()}
    for letter in "abcdefghijk":
        counts = [list(sets[part].values()).count(letter) for part in ("train", "validation", "test")]
        total = sum(counts)
        assert all(abs(count - total * share) <= 1.5 for count, share in zip(counts, (0.8, 0.1, 0.1), strict=True)), (
            letter,
            counts,
        )


def test_the_card_shows_what_is_in_the_files(parts):
    card = dataset_card(parts, load_card_text(DATA / "traces" / "card.json"), "traces")
    assert (DATA / "README.md").read_text(encoding="utf-8") == card, (
        "write it again: needle traces card data/traces ..."
    )


def test_the_files_are_small(parts):
    assert sum(path.stat().st_size for path in split_files(DATA / "traces").values()) < 3_000_000


@pytest.fixture(scope="module")
def written():
    read = {part: read_traces(path) for part, path in split_files(DATA / "written").items()}
    assert all(problems == [] for _, problems in read.values())
    return {part: traces for part, (traces, _) in read.items()}


def test_rows_that_were_written_later_know_nothing_of_what_is_held_out(parts, written):
    assert list(written) == ["train", "validation"]
    everything = [row for rows in written.values() for row in rows]
    held = {part: parts[part] for part in ("validation", "test")}
    counts = contamination(everything, held).counts()
    assert all(count == 0 for signs in counts.values() for count in signs.values()), counts
    names = [{row.toolset for row in rows} for rows in (*parts.values(), *written.values())]
    lists = [{fingerprint(tools) for tools in {id(row.tools): row.tools for row in rows}.values()} for rows in (*parts.values(), *written.values())]
    for new in (3, 4):
        for other in range(new):
            assert not names[new] & names[other] and not lists[new] & lists[other]


def test_the_card_of_the_later_rows_shows_what_is_in_the_files(written):
    card = dataset_card(written, load_card_text(DATA / "written" / "card.json"), ".")
    assert (DATA / "written" / "README.md").read_text(encoding="utf-8") == card, "write it again: needle traces card data/written ..."
