"""The public data sets that can be imported: where they come from, their licence, who wrote them, what is held out.

Each set is one module with ``rows(root, options)``; ``root`` is the folder with its original files. A module may also have
``held_out(root)``: the texts of its parts that must not be trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from needle.corpora.toolsets import Mix
from needle.errors import UserError
from needle.traces import Trace


@dataclass(frozen=True)
class CorpusSet:
    """One public data set."""

    name: str
    """Short name, also that of its module."""
    title: str
    """Name that its authors gave it."""
    source: str
    """Repository and commit."""
    licence: str
    """Licence of the data."""
    attribution: str
    """Who is to be credited."""
    folder: str
    """Folder of its files, looked for under the data folder at any depth of two."""
    held_out: str = ""
    """Parts that are never read for training, in words."""
    by_models: bool = False
    """Whether its requests were written by vendors' models: left out unless asked for."""
    module: str = ""
    """Module with ``rows`` when it is not ``needle.corpora.NAME``."""


@dataclass
class Options:
    """What an importer is given beside its files."""

    seed: int = 0
    """Same seed, same rows."""
    mix: Mix = field(default_factory=Mix)
    """How rows are put together."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reasons for which labelled requests were left out, counted by the importer."""
    read: int = 0
    """Labelled requests read, counted by the importer."""


_SGD = "Rastogi et al. 2020, arXiv 1909.05855 (SGD); Lee et al. 2022, arXiv 2110.06800 (SGD-X)"
SETS = {
    one.name: one
    for one in (
        CorpusSet("sgd", "Schema-Guided Dialogue, SGD-X", "google-research-datasets/dstc8-schema-guided-dialogue@e852981a", "CC-BY-SA-4.0", _SGD, "sgd_compact", "test dialogues"),
        CorpusSet("thingpedia", "Thingpedia common devices", "stanford-oval/thingpedia-common-devices@35592e1f", "BSD-3-Clause", "Stanford University, Open Virtual Assistant Lab", "thingpedia"),
        CorpusSet("hwu64", "HWU64 (NLU-Evaluation-Data)", "xliuhw/NLU-Evaluation-Data@f6071b49", "CC-BY-4.0", "Liu et al. 2019, arXiv 1903.05566", "hwu64", "test fold"),
        CorpusSet("multidogo", "MultiDoGO", "awslabs/multi-domain-goal-oriented-dialogues-dataset@baa30639", "CDLA-Permissive-1.0", "Peskov et al. 2019, EMNLP", "multidogo", "test.tsv"),
        CorpusSet("botframework_lu", "Bot Framework solutions, language understanding files", "microsoft/botframework-solutions@08ad18f1", "MIT", "Microsoft Corporation", "botframework_lu"),
        CorpusSet("slurp", "SLURP", "pswietojanski/slurp@8eb16545", "CC-BY-4.0", "Bastianelli et al. 2020, arXiv 2011.13205", "slurp", "test.jsonl"),
        CorpusSet("polyai", "PolyAI task-specific datasets (Banking77, Restaurant-8k)", "PolyAI-LDN/task-specific-datasets@57ec275d", "CC-BY-4.0", "Casanueva et al. 2020, arXiv 2003.04807; Coope et al. 2020, arXiv 2005.08866", "polyai", "test.csv, test.json"),
        CorpusSet("clinc150", "CLINC150 (oos-eval)", "clinc/oos-eval@828f8093", "CC-BY-3.0", "Larson et al. 2019, EMNLP", "clinc150", "test, oos_test"),
        CorpusSet("ha_intents", "Home Assistant intents", "home-assistant/intents@aa550032", "CC-BY-4.0", "Home Assistant and contributors", "ha_intents"),
        CorpusSet("home_llm", "Home LLM, piles of requests", "acon96/home-llm@5f627cae", "MIT", "Alex O'Connell and contributors", "home_llm"),
        CorpusSet("multiwoz", "MultiWOZ 2.1, validation and test dialogues", "thu-coai/ConvLab-2@b014b81f", "MIT", "Budzianowski et al. 2018, arXiv 1810.00278; Eric et al. 2019, arXiv 1907.01669", "multiwoz21_valtest"),
        CorpusSet("taskmaster", "Taskmaster-3 and -4", "google-research-datasets/Taskmaster@d92cb6af", "CC-BY-4.0", "Byrne et al. 2019, arXiv 1909.05358; Google LLC", "taskmaster_compact"),
        CorpusSet("questions", "Query-wellformedness", "google-research-datasets/query-wellformedness@fb69c214", "CC-BY-SA-4.0", "Faruqui and Das 2018, arXiv 1808.09419", "query_wellformedness"),
        CorpusSet("recognizers", "Recognizers-Text specifications", "microsoft/Recognizers-Text@90e968ea", "MIT", "Microsoft Corporation", "recognizers_text_specs", module="needle.corpora.forms"),
        CorpusSet("duckling", "Duckling corpus", "facebook/duckling@2c226585", "BSD-3-Clause", "Facebook, Inc.", "duckling_en", module="needle.corpora.forms"),
        CorpusSet("tldr", "tldr pages", "tldr-pages/tldr@08e345f4", "CC-BY-4.0", "tldr-pages team and contributors", "tldr_compact"),
        CorpusSet("botocore", "botocore service models", "boto/botocore@0e6e2404", "Apache-2.0", "Amazon.com, Inc. and contributors", "botocore_tools", module="needle.corpora.schemas"),
        CorpusSet("apizoo", "Gorilla API Zoo", "ShishirPatil/gorilla@6ea57973", "Apache-2.0", "Patil et al. 2023, arXiv 2305.15334, and contributors", "gorilla", "APIBench and BFCL; only the list of interfaces is read", module="needle.corpora.schemas"),
        CorpusSet("docker_mcp", "Docker MCP registry", "docker/mcp-registry@818bf169", "MIT", "Docker, Inc. and contributors", "docker_mcp_registry", module="needle.corpora.schemas"),
        CorpusSet("livemcp", "LiveMCPBench tool list", "icip-cas/LiveMCPBench@a928e57d", "Apache-2.0", "ICIP, Chinese Academy of Sciences", "livemcp", "its tasks; only the tool list is read", module="needle.corpora.schemas"),
        CorpusSet("metatool", "MetaTool", "HowieHwong/MetaTool@35e81bb7", "MIT", "Huang et al. 2023, arXiv 2310.03128", "metatool", by_models=True),
    )
}
"""All sets by name, in order of value."""


def corpus_set(name: str) -> CorpusSet:
    """The set called ``name``. Raises ``UserError`` when there is none."""
    if name not in SETS:
        raise UserError(f"no data set is called {name!r}; there are {', '.join(SETS)} (needle corpora list)")
    return SETS[name]


def find_set(one: CorpusSet, data: Path) -> Path | None:
    """The folder of a set: ``data`` itself, or of that name below it or below one of its folders; None if it is not there."""
    if data.name == one.folder:
        return data
    places = [data / one.folder, *sorted(data.glob(f"*/{one.folder}"))]
    return next((place for place in places if place.is_dir()), None)


def importer(one: CorpusSet) -> str:
    """Full name of the module that reads the set."""
    return one.module or f"needle.corpora.{one.name}"


def set_rows(one: CorpusSet, root: Path, options: Options) -> Iterator[Trace]:
    """Rows of a set, before they are checked."""
    return import_module(importer(one)).rows(root, options)


def held_out_texts(one: CorpusSet, root: Path) -> Iterator[str]:
    """Requests of the parts of a set that are not to be trained on."""
    yield from getattr(import_module(importer(one)), "held_out", lambda _: ())(root)
