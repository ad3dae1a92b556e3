"""Users as people name them, turned into users as the books have them.

Two ways to name one: `user`, as `data list` shows it, and `id`, as the identity source of the sale
carries it. Ids may be secrets, so they are hashed here, with a key that never leaves Redis and this
process; a sale with `plain: true` keeps them as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from controlplane.ledger.books import raw
from controlplane.ledger.keyring import hash_user
from controlplane.web.errors import bad_request

if TYPE_CHECKING:
    from controlplane.ledger.ledger import Account

MAX_USERS: Final = 10_000
MAX_ID_BYTES: Final = 256
MAX_RAW_BYTES: Final = 8192
_HASH: Final = re.compile(r"[0-9a-f]{32}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FIELDS: Final = frozenset({"user", "id", "number", "how", "order"})


async def read_users(account: Account, given: Any) -> list[str]:
    """Read the list `users` of a call; what `data list` shows beside the user is read past."""
    if not isinstance(given, list) or not given:
        raise bad_request("users must be a list with at least one entry")
    if len(given) > MAX_USERS:
        raise bad_request(f"at most {MAX_USERS} users in one call: send the rest in further ones")
    plain = account.plan.identity_plain
    ring = None if plain else await account.keyring.ensure()
    users = []
    for index, entry in enumerate(given):
        kind, value = _named(index, entry)
        if plain:
            users.append(_plain(index, value))
        elif kind == "user":
            users.append(_hashed(index, value))
        else:
            users.append(hash_user(ring.identity if ring else b"", _raw(index, value)))
    return list(dict.fromkeys(users))


def _named(index: int, entry: Any) -> tuple[str, str]:
    if not isinstance(entry, dict):
        raise bad_request(f"users[{index}] must be {{user: ...}} or {{id: ...}}")
    unknown = sorted(entry.keys() - _FIELDS)
    if unknown:
        raise bad_request(f"users[{index}]: unknown field {unknown[0]!r}")
    named = [(kind, entry[kind]) for kind in ("user", "id") if kind in entry]
    if len(named) != 1:
        raise bad_request(f"users[{index}] needs either user or id")
    kind, value = named[0]
    if not isinstance(value, str) or not value:
        raise bad_request(f"users[{index}].{kind} must be a text (in quotes if it is a number)")
    return kind, value


def _plain(index: int, value: str) -> str:
    if len(raw(value)) > MAX_ID_BYTES or _CONTROL.search(value):
        message = f"at most {MAX_ID_BYTES} bytes and no control characters"
        raise bad_request(f"users[{index}]: the ids of this sale have {message}")
    return value


def _hashed(index: int, value: str) -> str:
    if not _HASH.fullmatch(value):
        message = "must be 32 hexadecimal digits as `data list` shows them; write a raw id as id"
        raise bad_request(f"users[{index}].user {message}")
    return value


def _raw(index: int, value: str) -> str:
    if len(raw(value)) > MAX_RAW_BYTES:
        raise bad_request(f"users[{index}].id has more than {MAX_RAW_BYTES} bytes")
    return value
