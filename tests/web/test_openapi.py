"""What the server's own description promises, held against what it answers, by schemathesis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from web.serving import asked, server

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytest.importorskip("uvicorn", reason="uvicorn of the extra serve is not installed")

from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

POSTS = ("/v1/faces", "/v1/matches")
GETS = ("/v1/models", "/healthz", "/readyz", "/metrics")
# Whether bytes are a recording is more than a schema can say, so a body that fits may be refused.
# No route describes the status 500, so that a bug is found as well.
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
FITTING, UNFITTING = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.fixture(scope="module")
def description(stand_in_model: Path) -> Iterator[Any]:
    with server("--model", stand_in_model, "--no-page") as (address, _):
        yield schemathesis.openapi.from_url(f"{address}openapi.json")
        assert asked(address, "healthz").status == 200  # after all requests


def test_all_routes_are_described(description: Any) -> None:
    assert {one.ok().path for one in description.get_all_operations()} == {*POSTS, *GETS}


@pytest.mark.parametrize(
    ("path", "way"),
    [(path, FITTING) for path in (*POSTS, *GETS)] + [(path, UNFITTING) for path in POSTS],
)
def test_every_answer_is_one_that_the_description_promises(
    description: Any, path: str, way: Any
) -> None:
    """Requests that fit the description, and some that do not; hypothesis makes both."""
    (method,) = description[path]
    cases = description[path][method].as_strategy(generation_mode=way)

    @settings(
        max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(cases)
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
