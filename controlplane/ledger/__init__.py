"""The Redis side of the control plane: the books of each sale, their copy on disk, the key ring.

The filters decide and Redis arbitrates; nothing here stands in the path of a request. The ledger
opens books, watches them, keeps a copy, and puts that copy back when Redis has lost its memory.
"""

from __future__ import annotations

from controlplane.ledger.books import Books, Entry, How, Status
from controlplane.ledger.errors import (
    BooksMissingError,
    LedgerError,
    RedisRefusedError,
    RedisUnreachableError as RedisUnreachableError,
)
from controlplane.ledger.keyring import Keyring, hash_user
from controlplane.ledger.keys import BookKeys
from controlplane.ledger.state import SaleState

__all__ = [
    "BookKeys",
    "Books",
    "BooksMissingError",
    "Entry",
    "How",
    "Keyring",
    "LedgerError",
    "RedisRefusedError",
    "RedisUnreachableError",
    "SaleState",
    "Status",
    "hash_user",
]
