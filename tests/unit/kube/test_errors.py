from __future__ import annotations

import json

import pytest

from controlplane.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    from_response,
)


def _status(code: int, message: str, **more: object) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "message": message, **more}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, InvalidError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, GoneError),
        (415, InvalidError),
        (422, InvalidError),
        (429, TooManyRequestsError),
        (500, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
    ],
)
def test_each_code_has_its_kind(code: int, kind: type[KubeError]) -> None:
    error = from_response("list widgets", code, _status(code, "so it is"))
    assert type(error) is kind
    assert str(error).startswith("cannot list widgets: so it is")


def test_a_name_that_is_taken_is_a_conflict_of_its_own_kind() -> None:
    error = from_response("create x", 409, _status(409, "there", reason="AlreadyExists"))
    assert isinstance(error, AlreadyExistsError)


def test_a_body_that_is_no_status_is_not_shown() -> None:
    for body in (b'{"token":"s3cret"}', b"<html>s3cret", b"", b"\xff", b'["s3cret"]'):
        text = str(from_response("list widgets", 502, body))
        assert text == "cannot list widgets: HTTP status 502"


def test_messages_are_one_short_line() -> None:
    text = str(from_response("list widgets", 422, _status(422, "a\n  b\t" + "c" * 5000)))
    assert text.startswith("cannot list widgets: a b c")
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("7", _status(429, "busy", details={"retryAfterSeconds": 3}), 7.0),
        (None, _status(429, "busy", details={"retryAfterSeconds": 3}), 3.0),
        (None, _status(429, "busy"), 0.0),
        ("86400", b"", 60.0),
        ("-5", b"", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", b"", 0.0),
    ],
)
def test_the_time_to_wait_is_the_servers_within_bounds(
    header: str | None, body: bytes, seconds: float
) -> None:
    headers = {"Retry-After": header} if header else {}
    error = from_response("list widgets", 429, body, headers)
    assert isinstance(error, TooManyRequestsError)
    assert error.retry_after == seconds
