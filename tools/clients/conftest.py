"""Clients of other people's making, and what docs/ shows, against a real service on the demo model."""

import pytest
from service import Service, start, stop


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One with an empty codebook for every module of tests."""
    process, url = start(tmp_path_factory.mktemp("service"))
    yield Service(url)
    stop(process)
