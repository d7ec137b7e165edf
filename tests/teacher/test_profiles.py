"""Profiles: one validated file over the ready ones, one function from a name to a config, no key anywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from needle.errors import UserError
from needle.teacher.config import Capabilities, Prices, TeacherConfig, check_capabilities
from needle.teacher.endpoint import NO_KEY, fill_headers, find_key
from needle.teacher.profiles import READY, load_profiles, profile_schema, resolve_teacher, teacher_facts
from needle.teacher.reports import keep_report

OWN = """
[openai]
model = "m1"
limits = {requests_per_minute = 500}
prices.m1 = {input = 0.15, output = 0.6, cached_input = 0.075, batch_discount = 0.5}
prices."*" = {input = 1, output = 2}

[cheap]
like = "openrouter"
headers = {Authorization = "Bearer ${ROUTER}"}
extra_body = {provider = {only = ["x"]}}
roles = ["labeller"]
weight = 2.5

[cheaper]
like = "cheap"
model = "tiny"
"""


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEEDLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEEDLE_PROFILES", raising=False)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    return path


def test_the_ready_profiles_are_there_and_valid_by_the_published_schema():
    profiles = load_profiles()
    assert {"openai", "openrouter", "gemini", "vllm", "llama.cpp", "ollama", "lmstudio", "together"} <= profiles.keys()
    schema = profile_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(READY.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"x": {"limts": {}}}, schema)


def test_a_name_an_address_and_a_name_with_a_model_resolve(own):
    assert resolve_teacher("embedded") == TeacherConfig()
    openai = resolve_teacher("openai", profiles_path=own)
    assert openai.model == "m1" and openai.limits.requests_per_minute == 500 and openai.key_env == "OPENAI_API_KEY"
    assert openai.prices.cost({"prompt_tokens": 10**6, "completion_tokens": 10**6}) == pytest.approx(0.75)
    assert resolve_teacher("openai#m2", profiles_path=own).prices.input == 1 and resolve_teacher("vllm", "q").prices.input == 0
    assert resolve_teacher("http://10.0.0.1:8000/v1/#q").base_url == "http://10.0.0.1:8000/v1"
    with pytest.raises(UserError, match="two models"):
        resolve_teacher("openai#a", "b")


def test_a_profile_takes_over_what_it_is_like(own):
    cheap = resolve_teacher("cheaper", profiles_path=own)
    assert cheap.base_url == "https://openrouter.ai/api/v1" and cheap.model == "tiny" and cheap.weight == 2.5
    assert cheap.roles == ("labeller",) and cheap.extra_body == {"provider": {"require_parameters": True, "only": ["x"]}}
    assert cheap.headers["X-Title"] == "needle" and cheap.identity["headers"]["Authorization"] == "Bearer ${ROUTER}"


def test_a_remote_address_is_known_by_its_profile_and_a_local_one_only_by_ones_own(own, tmp_path):
    assert resolve_teacher("https://openrouter.ai/api/v1", "m").key_env == "OPENROUTER_API_KEY"
    assert resolve_teacher("http://localhost:8000/v1", "m").profile == ""
    own.write_text('[gpu]\nbase_url = "http://localhost:8000/v1"\n')
    assert resolve_teacher("http://localhost:8000/v1", "m", own).profile == "gpu"


def test_the_file_is_found_by_variable_and_in_the_working_folder(own, monkeypatch, tmp_path):
    monkeypatch.setenv("NEEDLE_PROFILES", str(own))
    assert "cheap" in load_profiles()
    monkeypatch.setenv("NEEDLE_PROFILES", str(tmp_path / "none.toml"))
    with pytest.raises(UserError, match="no such profile file"):
        load_profiles()
    monkeypatch.delenv("NEEDLE_PROFILES")
    own.rename("needle-teachers.toml")
    assert "cheap" in load_profiles()


@pytest.mark.parametrize(("text", "said"), [
    ("[a]\nbase_url = 'http://x/v1'\nlimts = {}", "a.limts"),
    ("[a]\nbase_url = 'ftp://x'", "no URL"),
    ("[a]\nmodel = 'm'", "a.base_url"),
    ("[a]\nlike = 'nothing'", "'nothing'"),
    ("[a]\nlike = 'b'\n[b]\nlike = 'a'", "circle"),
    ("[a]\nbase_url = 'http://x/v1'\nlimits = {concurrency = 0}", "concurrency"),
    ("[a]\nbase_url = 'http://x/v1'\nprices.m = {input = -1, output = 1}", "prices.m.input"),
    ("[a]\nbase_url = 'http://x/v1'\nkey_env = 'sk-secret'", "never the key itself"),
    ("[a]\nbase_url = 'http://x/v1'\nheaders = {Authorization = 'Bearer sk-secret'}", "${NAME}"),
    ("[a]\nbase_url = 'http://x/v1?api_key=sk-secret'", "NEEDLE_API_KEY"),
    ("['a#b']\nbase_url = 'http://x/v1'", "name of a profile"),
    ("x = 1", "one table for each"),
    ("[a", "cannot be read"),
])  # fmt: skip
def test_a_bad_file_is_one_line_that_names_the_place_and_never_the_key(text, said, own):
    own.write_text(text)
    with pytest.raises(UserError) as caught:
        load_profiles(own)
    assert said in str(caught.value) and "\n" not in str(caught.value) and "sk-secret" not in str(caught.value)


def test_an_unknown_name_and_a_missing_model_say_what_to_do():
    with pytest.raises(UserError, match="there are embedded, openai"):
        resolve_teacher("opnai")
    with pytest.raises(UserError, match="openai#NAME"):
        resolve_teacher("openai")


def test_the_key_is_looked_for_where_the_profile_says():
    url = "https://openrouter.ai/api/v1"
    assert find_key(url, {"OPENROUTER_API_KEY": "a", "OPENAI_API_KEY": "b"}, "OPENROUTER_API_KEY") == "a"
    with pytest.raises(UserError, match="OPENROUTER_API_KEY"):
        find_key(url, {"OPENAI_API_KEY": "b"}, "OPENROUTER_API_KEY")
    assert find_key(url, {"OPENAI_API_KEY": "b"}, "") == NO_KEY


def test_headers_take_variables_and_name_the_missing_one():
    assert fill_headers({"A": "Bearer ${X} y"}, {"X": "1"}) == {"A": "Bearer 1 y"}
    with pytest.raises(UserError, match="X, which is not set"):
        fill_headers({"A": "${X}"}, {})


def test_impossible_settings_are_refused_and_unknown_ones_are_named():
    config = TeacherConfig(base_url="http://x/v1", capabilities=Capabilities(strict=False, seed=True, native_tools=False))
    assert check_capabilities(config, ["seed", "logprobs", "native_tools"]) == ["logprobs"]
    with pytest.raises(UserError, match="strict"):
        check_capabilities(config, ["seed", "strict"])


def test_a_probe_is_remembered_and_overrules_the_profile():
    keep_report({"endpoint": "http://localhost:8000/v1#q", "capabilities": {"logprobs": False, "native_tools": False, "odd": 1}})
    config = resolve_teacher("vllm#q")
    assert config.capabilities.logprobs is False and config.tools_in_content and config.identity["tools_in_content"]
    assert resolve_teacher("vllm#q", probed=False).capabilities.logprobs is True
    assert resolve_teacher("vllm#other").capabilities.logprobs is True


def test_cached_tokens_and_batches_cost_less():
    prices = Prices(1.0, 2.0, cached_input=0.1, batch_discount=0.5)
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "cached_tokens": 500}
    assert prices.cost(usage) == pytest.approx((500 * 1 + 500 * 0.1 + 1000 * 2) / 1e6)
    assert prices.cost(usage, batch=True) == pytest.approx(prices.cost(usage) / 2)


def test_the_verbs_print_profiles_facts_and_schema(cli, own, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    listed = cli("teacher", "list", "--profiles", own)
    assert listed.code == 0 and "cheaper" in listed.out and str(own) in listed.last
    shown = cli("teacher", "show", "openai", "--profiles", own)
    assert json.loads(shown.out)["limits"]["requests_per_minute"] == 500 and "sk-secret" not in shown.out
    assert json.loads(cli("teacher", "schema").out) == profile_schema()
    assert "no teacher" in cli("teacher", "show", "nothing").complaint
    assert json.loads(json.dumps(teacher_facts(resolve_teacher("cheap#m", profiles_path=own))))["weight"] == 2.5


def test_prices_of_a_list_become_lines_of_a_profile(cli, write, tmp_path):
    listed = {
        "mini": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "cache_read_input_token_cost": 7.5e-08, "input_cost_per_token_batches": 7.5e-08},
        "x/a": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
        "x/picture": {"output_cost_per_image": 0.04},
    }
    path = write("prices.json", listed)
    outcome = cli("teacher", "prices", path, "mini", "x/*")
    assert outcome.code == 0 and len(outcome.out.splitlines()) == 2
    profile = tmp_path / "p.toml"
    profile.write_text(f"[t]\nbase_url = 'http://x/v1'\n{outcome.out}")
    assert resolve_teacher("t#mini", profiles_path=profile).prices == Prices(0.15, 0.6, 0.075, 0.5)
    assert resolve_teacher("t#x/a", profiles_path=profile).prices == Prices(1, 2)
    assert "there is mini" in cli("teacher", "prices", path, "min").complaint
    assert "no price of 'x/picture'" in cli("teacher", "prices", path, "x/picture").complaint
    assert "cannot be read" in cli("teacher", "prices", write("bad.json", "{"), "a").complaint


def test_the_profiles_of_the_guide_are_valid_and_mean_what_it_says(tmp_path):
    guide = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", guide, re.M | re.S)
    path = tmp_path / "guide.toml"
    path.write_text("\n".join(block for block in blocks if "[[" not in block and block.lstrip().startswith("[")), encoding="utf-8")
    assert load_profiles(path).keys() >= {"openai", "second", "farm"}
    farm = resolve_teacher("farm", profiles_path=path)
    assert farm.limits.concurrency == 512 and farm.top_logprobs == 20 and farm.prices == Prices(0.0, 0.0)
    assert all(f"`{name}`" in guide for name in json.loads(READY.read_text()))
