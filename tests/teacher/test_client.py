"""The client: permanent errors at once with a remedy, transient ones retried, a deadline that holds, no key
anywhere."""

from __future__ import annotations

import asyncio
import email.utils
import time
import traceback

import httpx2
import pytest

from needle.errors import UserError
from needle.teacher.client import Teacher, TeacherConfig
from needle.teacher.endpoint import NO_KEY, check_url, find_key, is_local
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.faults import FaultApp
from needle.teacher.limits import Starved
from needle.teacher.waits import duration, retry_after_seconds

BODY = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.0}


def _ask(app: FaultApp, *, on_resend=None, **settings):
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", **({"backoff_s": 0.001} | settings))

    async def work():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            return await teacher.complete(BODY, on_resend=on_resend), teacher.usage

    return asyncio.run(work())


@pytest.mark.parametrize(("fault", "reason", "remedy"), [
    ("auth", "auth", "OPENAI_API_KEY"), ("forbidden", "forbidden", "model 'm'"), ("not_found", "not_found", "/v1"),
    ("quota", "quota", "add credit"), ("payment", "quota", "add credit"), ("bad_request", "bad_request", "400"),
    ("unprocessable", "bad_request", "422"), ("content_filter", "content_filter", "filtered"),
])  # fmt: skip
def test_permanent_errors_are_not_retried_and_say_the_remedy(fault, reason, remedy):
    app = FaultApp([fault])
    with pytest.raises(PermanentError) as caught:
        _ask(app)
    assert caught.value.reason == reason and remedy in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError) and len(app.seen) == 1 and not caught.value.maybe_billed


@pytest.mark.parametrize("fault", [
    "rate_limit", "rate_limit_ms", "rate_limit_reset", "rate_limit_words", "rate_limit_google", "rate_limit_bare", "limit_in_body",
    "server_error", "bad_gateway", "overloaded", "html", "no_choices", "error_in_body", "cut_body",
])  # fmt: skip
def test_transient_errors_are_retried_until_they_pass(fault):
    answer, usage = _ask(FaultApp([fault, fault, "plain"]))
    assert answer.text and usage.requests == 3 and usage.retries == 2


@pytest.mark.parametrize(("fault", "reason", "billed"), [
    ("server_error", "server", False), ("gateway_timeout", "server", True), ("overloaded", "overloaded", False), ("html", "not_json", True),
    ("error_in_body", "server", False),
])  # fmt: skip
def test_transient_errors_are_given_up_after_the_last_attempt(fault, reason, billed):
    app = FaultApp([fault])
    with pytest.raises(TransientError) as caught:
        _ask(app, max_attempts=3)
    assert caught.value.reason == reason and len(app.seen) == 3 and caught.value.maybe_billed is billed


@pytest.mark.parametrize(("fault", "least", "most"), [
    ("rate_limit_seconds", 1.0, 1.3), ("rate_limit_date", 0.4, 1.8), ("rate_limit_ms", 0.02, 0.3), ("rate_limit_google", 0.02, 0.3),
])  # fmt: skip
def test_the_wait_that_is_asked_for_is_kept(fault, least, most):
    started = time.monotonic()
    _ask(FaultApp([fault, "plain"]))
    assert least <= time.monotonic() - started < most


def test_a_rate_limit_that_never_ends_is_starvation_and_stops_the_job():
    app = FaultApp(["rate_limit"])
    with pytest.raises(Starved, match="run the same command again") as caught:
        _ask(app, starvation_s=0.2)
    assert 3 < len(app.seen) < 40 and caught.value.stops_job and isinstance(caught.value, UserError)


@pytest.mark.parametrize(("fault", "words"), [("rate_limit_long", "asks to wait 60 min"), ("rate_limit_minutes", "2.08 min")])
def test_a_wait_longer_than_the_patience_is_said_at_once(fault, words):
    app = FaultApp([fault])
    with pytest.raises(Starved, match=words):
        _ask(app, starvation_s=100)
    assert len(app.seen) == 1


def test_before_what_may_be_billed_twice_the_owner_of_the_money_is_asked():
    class Spent(Exception):
        pass

    asked = []

    def refuse():
        asked.append(1)
        if len(asked) == 2:
            raise Spent

    app = FaultApp(["rate_limit", "overloaded", "server_error", "gateway_timeout", "cut_body", "plain"])
    with pytest.raises(Spent):
        _ask(app, on_resend=refuse)
    assert len(app.seen) == 5, "three that cost nothing, then one allowed and one refused"


def test_a_slow_call_is_sent_again_only_where_it_is_wished_and_paid_for():
    asked = []
    app = FaultApp(["hang", "plain"])
    started = time.monotonic()
    answer, usage = _ask(app, hedge_s=0.1, on_resend=lambda: asked.append(1))
    assert answer.text == "fine" and len(asked) == 1 and usage.requests == 2 and time.monotonic() - started < 2
    for settings in ({"hedge_s": 0.1}, {"on_resend": lambda: None}):
        app = FaultApp(["hang", "plain"])
        with pytest.raises(TransientError):
            _ask(app, deadline_s=0.4, attempt_s=0.4, max_attempts=1, **settings)
        assert len(app.seen) == 1

    def broke():
        raise RuntimeError("no money")

    app = FaultApp(["hang", "plain"])
    with pytest.raises(TransientError):
        _ask(app, hedge_s=0.05, deadline_s=0.4, attempt_s=0.3, max_attempts=1, on_resend=broke)
    assert len(app.seen) == 1, "no money for a second attempt; the first goes on to its end"


def test_of_two_attempts_one_that_fails_does_not_end_the_other():
    app = FaultApp(["hang", "server_error", "plain"])
    answer, usage = _ask(app, hedge_s=0.05, attempt_s=0.3, on_resend=lambda: None)
    assert answer.text == "fine" and usage.requests == 3


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_no_call_outlives_its_deadline_however_slowly_the_body_comes(fault):
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        _ask(FaultApp([fault]), deadline_s=0.3, attempt_s=0.2)
    assert caught.value.reason == "timeout" and caught.value.maybe_billed and time.monotonic() - started < 0.8


def test_a_refused_optional_parameter_is_left_out_and_a_renamed_one_renamed():
    app = FaultApp(["no_temperature"])
    answer, _ = _ask(app)
    assert answer.text == "fine" and "temperature" not in app.seen[-1]
    app = FaultApp(["no_max_tokens"])
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", extra_body={"top_k": 5})

    async def work():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            for _ in range(2):
                await teacher.complete(BODY | {"max_tokens": 7})

    asyncio.run(work())
    assert [("max_tokens" in body, body.get("max_completion_tokens"), body["top_k"]) for body in app.seen] == [(True, None, 5), (False, 7, 5), (False, 7, 5)]


def test_a_key_may_change_with_every_request_and_is_struck_out_too():
    app, keys = FaultApp(["plain", "auth_echo"]), iter(["sk-first", "sk-second"])

    async def fresh():
        return next(keys)

    async def work():
        config = TeacherConfig(base_url="https://remote.example/v1", model="m")
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi), key=fresh) as teacher:
            await teacher.complete(BODY)
            await teacher.complete(BODY)

    with pytest.raises(PermanentError) as caught:
        asyncio.run(work())
    assert app.keys == ["Bearer sk-first", "Bearer sk-second"]
    assert "sk-second" not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_the_endpoint_repeats_is_struck_out_everywhere(monkeypatch):
    monkeypatch.setenv("NEEDLE_API_KEY", "sk-very-secret")
    with pytest.raises(PermanentError) as caught:
        _ask(FaultApp(["auth_echo"]))
    said = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    assert all("very-secret" not in text for text in said) and "***" in said[0]


@pytest.fixture(params=["aiohttp", "httpx2"])
def backend(request, monkeypatch):
    """Both HTTP clients: the faster one, and the one that is used without it or behind a proxy."""
    if request.param == "aiohttp":
        pytest.importorskip("aiohttp")
    else:
        monkeypatch.setattr("needle.teacher.endpoint.find_spec", lambda name: None)
    return request.param


async def _ask_socket(answer, **settings):
    """One call to a server on a real socket that does ``answer(reader, writer)``."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = TeacherConfig(base_url=f"http://127.0.0.1:{port}/v1", model="m", max_attempts=1, **settings)
    async with server, Teacher(config) as teacher:
        return await teacher.complete(BODY)


def test_an_unreachable_endpoint_is_a_connection_error_and_costs_nothing(backend):
    async def work():
        async with Teacher(TeacherConfig(base_url="http://127.0.0.1:9/v1", model="m", max_attempts=1)) as teacher:
            await teacher.complete(BODY)

    with pytest.raises(TransientError) as caught:
        asyncio.run(work())
    assert caught.value.reason == "connection" and "127.0.0.1:9" in str(caught.value) and not caught.value.maybe_billed


def test_a_server_that_hangs_up_after_the_request_may_have_billed_it(backend):
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    with pytest.raises(TransientError) as caught:
        asyncio.run(_ask_socket(hang_up))
    assert caught.value.reason == "connection" and caught.value.maybe_billed


def test_a_body_that_breaks_off_or_trickles_on_a_real_socket_ends_in_time(backend):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"

    async def break_off(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b'{"id": "x", "choices": [')
        await writer.drain()
        writer.close()

    async def trickle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        for _ in range(200):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(TransientError) as caught:
        asyncio.run(_ask_socket(break_off))
    assert caught.value.reason == "connection" and caught.value.maybe_billed
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        asyncio.run(_ask_socket(trickle, attempt_s=0.3, deadline_s=0.5))
    assert caught.value.reason == "timeout" and caught.value.maybe_billed and time.monotonic() - started < 2


def test_retry_after_is_understood_in_every_form():
    assert retry_after_seconds({"retry-after-ms": "1500"}) == 1.5
    assert retry_after_seconds({"retry-after": "300"}) == 300 and retry_after_seconds({"retry-after": "0.25"}) == 0.25
    assert retry_after_seconds({"retry-after": "1m30s"}) == 90 and duration("6m0s") == 360 and duration("1h2m3.5s") == 3723.5
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s", "x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "9s"}
    assert retry_after_seconds(spent) == 2
    assert retry_after_seconds({}, '[{"retryDelay": "34s"}]') == 34 and retry_after_seconds({}, "Please try again in 7m12s.") == 432
    assert duration("soon") is None and duration("nan") is None and duration("inf") is None
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
