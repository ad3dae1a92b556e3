"""A toy model API: it says little, and tells how many tokens that cost, as the real ones do.

So what a token quota counts can be told beforehand: a call costs PROMPT tokens, and `max_tokens`
more. With `"stream": true` the answer is an event stream, whose last event but one has the usage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

PATH: Final = "/chat/completions"
"""What a path ends with that asks the model."""
PROMPT: Final = 20
COMPLETION: Final = 22
_MAX_COMPLETION: Final = 10**9
_MAX_WORDS: Final = 16
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer: its type, and its parts, each of them written for itself when it is a stream."""

    content_type: str
    parts: tuple[bytes, ...]

    @property
    def streams(self) -> bool:
        """Whether its length is not told beforehand."""
        return self.content_type == _EVENTS


def complete(body: bytes) -> Completion:
    """Answer a call; one that is no JSON object is taken as an empty one, as nobody is taught."""
    asked = _asked(body)
    completion = _count(asked.get("max_tokens"))
    usage = {
        "prompt_tokens": PROMPT,
        "completion_tokens": completion,
        "total_tokens": PROMPT + completion,
    }
    words = [f"word{number} " for number in range(min(completion, _MAX_WORDS))]
    if asked.get("stream") is not True:
        message = {"role": "assistant", "content": "".join(words).strip()}
        return Completion(_JSON, (_json({"choices": [{"message": message}], "usage": usage}),))
    events = [_event({"choices": [{"delta": {"content": word}}]}) for word in words]
    last = (_event({"choices": [], "usage": usage}), b"data: [DONE]\n\n")
    return Completion(_EVENTS, (*events, *last))


def _asked(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _count(wanted: object) -> int:
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        return COMPLETION
    return min(max(wanted, 0), _MAX_COMPLETION)


def _json(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
