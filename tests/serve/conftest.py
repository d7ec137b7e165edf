"""Fixtures of this room: the spelled-out caller and its app, and one browser for all pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import ABSENT, PROGRAM, Page, chromium
from serve_helpers import Spelled
from starlette.applications import Starlette

from needle.serve import create_app


@pytest.fixture
def caller() -> Spelled:
    return Spelled()


@pytest.fixture
def app(caller) -> Starlette:
    return create_app(caller)


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Page]:
    """A real browser, started once; skips where there is none. Each test opens a page of its own."""
    if PROGRAM is None:
        pytest.skip(ABSENT)
    with chromium(tmp_path_factory.mktemp("browser")) as tab:
        yield tab
