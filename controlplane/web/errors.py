"""Errors of the API: a status, a reason for programs, and one line for people."""

from __future__ import annotations


class ApiError(Exception):
    """What a call is answered with instead of a result."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def as_json(self) -> dict[str, dict[str, str]]:
        """Give the body of the answer."""
        return {"error": {"reason": self.reason, "message": self.message}}


def bad_request(message: str) -> ApiError:
    """Answer a call that cannot be understood."""
    return ApiError(400, "BadRequest", message)


def not_found(message: str) -> ApiError:
    """Answer a call about something that is not there."""
    return ApiError(404, "NotFound", message)


def unavailable(message: str) -> ApiError:
    """Answer a call that needs something which is away just now."""
    return ApiError(503, "Unavailable", message)
