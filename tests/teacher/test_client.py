"""The client: permanent errors at once with a remedy, transient ones retried, a deadline that holds, no key
anywhere."""

from __future__ import annotations

import asyncio
import email.utils
import time

import httpx2
import pytest

from needle.errors import UserError
from needle.teacher.client import Teacher, TeacherConfig
from needle.teacher.endpoint import NO_KEY, check_url, find_key, is_local
from needle.teacher.errors import PermanentError, TransientError, retry_after_seconds
from needle.teacher.faults import FaultApp

BODY = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.0}


def _ask(app: FaultApp, **settings):
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", **({"backoff_s": 0.001} | settings))

    async def work():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            return await teacher.complete(BODY), teacher.usage

    return asyncio.run(work())


@pytest.mark.parametrize(("fault", "reason", "remedy"), [
    ("auth", "auth", "OPENAI_API_KEY"), ("forbidden", "forbidden", "model 'm'"), ("not_found", "not_found", "/v1"),
    ("quota", "quota", "add credit"), ("bad_request", "bad_request", "400"), ("content_filter", "content_filter",
    "filtered"),
])  # fmt: skip
def test_permanent_errors_are_not_retried_and_say_the_remedy(fault, reason, remedy):
    app = FaultApp([fault])
    with pytest.raises(PermanentError) as caught:
        _ask(app)
    assert caught.value.reason == reason and remedy in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError) and len(app.seen) == 1


@pytest.mark.parametrize("fault", ["rate_limit", "server_error", "html", "no_choices"])
def test_transient_errors_are_retried_until_they_pass(fault):
    answer, usage = _ask(FaultApp([fault, fault, "ok"]))
    assert answer.text and usage.requests == 3 and usage.retries == 2


@pytest.mark.parametrize(
    ("fault", "reason"), [("rate_limit", "rate_limit"), ("server_error", "server"), ("html", "not_json")]
)
def test_transient_errors_are_given_up_after_the_last_attempt(fault, reason):
    app = FaultApp([fault])
    with pytest.raises(TransientError) as caught:
        _ask(app, max_attempts=3)
    assert caught.value.reason == reason and len(app.seen) == 3


def test_a_wait_longer_than_the_deadline_is_not_waited_for():
    app = FaultApp(["rate_limit_long"])
    with pytest.raises(TransientError) as caught:
        _ask(app, deadline_s=5)
    assert caught.value.retry_after == 3600 and len(app.seen) == 1


def test_a_hanging_endpoint_ends_at_the_deadline():
    with pytest.raises(TransientError) as caught:
        _ask(FaultApp(["hang"]), deadline_s=0.1, attempt_s=0.05)
    assert caught.value.reason == "timeout"


def test_a_refused_optional_parameter_is_left_out():
    app = FaultApp(["no_temperature"])
    answer, _ = _ask(app)
    assert answer.text == "fine" and "temperature" not in app.seen[-1]


def test_an_unreachable_endpoint_is_a_connection_error():
    async def work():
        async with Teacher(TeacherConfig(base_url="http://127.0.0.1:9/v1", model="m", max_attempts=1)) as teacher:
            await teacher.complete(BODY)

    with pytest.raises(TransientError) as caught:
        asyncio.run(work())
    assert caught.value.reason == "connection" and "127.0.0.1:9" in str(caught.value)


def test_retry_after_is_understood_in_every_form():
    assert retry_after_seconds({"retry-after-ms": "1500"}) == 1.5
    assert retry_after_seconds({"retry-after": "300"}) == 300
    date = email.utils.formatdate(time.time() + 10_000, usegmt=True)
    assert 5_000 < (retry_after_seconds({"retry-after": date}) or 0) < 10_001
    assert retry_after_seconds({}) is None and retry_after_seconds({"retry-after": "soon"}) is None


def test_remote_endpoints_need_a_key_and_local_ones_do_not():
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        find_key("https://api.openai.com/v1", {})
    assert find_key("https://api.openai.com/v1", {"OPENAI_API_KEY": "a", "NEEDLE_API_KEY": "b"}) == "b"
    assert find_key("http://localhost:8000/v1", {}) == NO_KEY
    assert find_key("embedded", {"OPENAI_API_KEY": "secret"}) == NO_KEY
    assert (
        is_local("http://192.168.1.4:1/v1") and is_local("http://[::1]:1/v1") and not is_local("https://example.com/v1")
    )


@pytest.mark.parametrize("url", ["api.openai.com", "ftp://x/v1", "", "https://user:pw@host/v1"])
def test_bad_addresses_are_refused(url):
    with pytest.raises(UserError):
        check_url(url)
