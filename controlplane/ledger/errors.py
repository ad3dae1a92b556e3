"""What can go wrong between the control plane and Redis, in words that an operator can act on.

Redis and its client raise dozens of kinds; callers here need three answers only: is it away, does
it refuse us, or does it not have the books. No message ever carries a password.
"""

from __future__ import annotations


class LedgerError(Exception):
    """Base of all that the ledger raises; `str()` is one line fit for a user."""


class RedisUnreachableError(LedgerError):
    """Redis did not answer in time, or at all. Trying again later is right."""


class RedisRefusedError(LedgerError):
    """Redis answered, and refused: a wrong password, no rights, or a command it cannot run."""


class BooksMissingError(LedgerError):
    """Redis has no books for the sale. The keeper reopens them; a command has to wait for that."""

    def __init__(self, tag: str) -> None:
        super().__init__(
            f"Redis has no books for {tag}: they are opened within a second or two when Redis is "
            "back; try again, and look at `sluice sale show`",
        )
        self.tag = tag


class CopyDamagedError(LedgerError):
    """The copy of the books on disk cannot be trusted: it is not ours, or of another format."""
