"""Every Redis key name, in one place.

All keys of one sale carry the books tag in braces, so that a Redis Cluster keeps them in one slot
and one script may touch them all. Names are pinned by tests/contract, as the filters use them too.
"""

from __future__ import annotations

from dataclasses import dataclass

KEYRING = "sluice:keyring"


@dataclass(frozen=True, slots=True)
class BookKeys:
    """The keys of one sale's books; `tag` is namespace/name/epoch."""

    tag: str

    @property
    def meta(self) -> str:
        """Hash: limit, generation, incarnation, the server that served the books last."""
        return f"sluice:{{{self.tag}}}:meta"

    @property
    def permits(self) -> str:
        """Hash: user -> permit number."""
        return f"sluice:{{{self.tag}}}:permits"

    @property
    def log(self) -> str:
        """List: who was admitted, granted, healed or forgotten, in order."""
        return f"sluice:{{{self.tag}}}:log"

    def attempt(self, user: str) -> str:
        """Give the key that stands for as long as `user` has to wait before the next try."""
        return f"sluice:{{{self.tag}}}:try:{user}"

    @property
    def all(self) -> tuple[str, str, str]:
        """KEYS of every script, in the order that the scripts expect."""
        return (self.meta, self.permits, self.log)
