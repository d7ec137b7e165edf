"""Fixtures of this room: the spelled-out caller and its app."""

from __future__ import annotations

import pytest
from serve_helpers import Spelled
from starlette.applications import Starlette

from needle.serve import create_app


@pytest.fixture
def caller() -> Spelled:
    return Spelled()


@pytest.fixture
def app(caller) -> Starlette:
    return create_app(caller)
