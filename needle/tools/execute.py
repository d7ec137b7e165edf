"""Running a function that may be plain or async, from plain or async code, with an end to its time.

    execute(function, {"room": "hall"}, timeout=5)            await execute_async(function, {"room": "hall"}, timeout=5)

A plain function with a deadline, or under a running event loop, gets a thread of its own. Python cannot end a thread:
one that is given up goes on by itself, and does not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from ordinary code, also where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def execute(function: Callable[..., Any], arguments: Mapping[str, Any], timeout: float | None = None) -> Any:
    """What the function gives; an awaitable is waited for.

    Raises whatever the function raises, and ``TimeoutError`` after ``timeout`` seconds.
    """
    if _is_async(function):
        return run_sync(execute_async(function, arguments, timeout))
    if timeout is None:
        value = function(**arguments)
    else:
        future = in_thread(function, arguments)
        if not wait([future], timeout).done:
            raise _late(timeout)
        value = future.result()
    return run_sync(_finished(value, timeout)) if inspect.isawaitable(value) else value


async def execute_async(
    function: Callable[..., Any], arguments: Mapping[str, Any], timeout: float | None = None
) -> Any:
    """The same from async code, which goes on meanwhile: a plain function runs in a thread."""
    if _is_async(function):
        return await _finished(function(**arguments), timeout)
    value = await _finished(asyncio.wrap_future(in_thread(function, arguments)), timeout)
    return await _finished(value, timeout) if inspect.isawaitable(value) else value


def in_thread(function: Callable[..., T], arguments: Mapping[str, Any]) -> Future[T]:
    """The function at work in a thread that does not keep the program alive; context variables go along."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # a future that cannot be cancelled any more: its thread cannot be either
    context = contextvars.copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(function, **arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="needle-tool", daemon=True).start()
    return future


def _is_async(function: Callable[..., Any]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004  (of an object, its method)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


async def _finished(work: Awaitable[T], timeout: float | None) -> T:
    try:
        async with asyncio.timeout(timeout) as clock:
            return await work
    except TimeoutError:
        if clock.expired() and timeout is not None:
            raise _late(timeout) from None
        raise


def _late(timeout: float) -> TimeoutError:
    return TimeoutError(f"no result within {timeout:g} seconds")
