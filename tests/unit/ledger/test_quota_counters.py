"""What is said to the script of quotas, without a Redis: what must not be sent, or read."""

from __future__ import annotations

import pytest

from controlplane.ledger.quota_counters import Batch, Meter, Settle, Settlement, Spec, Take
from controlplane.ledger.quota_keys import CounterKey, Kind

SPEC = Spec(Kind.FIXED, 50, 60_000)


def test_what_the_script_could_not_keep_is_not_sent() -> None:
    for meter in (Meter(SPEC, "k", -1), Meter(SPEC, "k", 0, -1), Meter(SPEC, "k", 0, 1)):
        with pytest.raises(ValueError, match="k: "):
            Batch.of(Take((meter,)))
    with pytest.raises(ValueError, match="given back"):
        Batch.of(Settlement((Settle(SPEC, "k", 1, -1),)))


def test_a_reply_of_another_shape_is_an_error() -> None:
    batch = Batch.of(Take((Meter(SPEC, "k"),)))
    assert batch.read([1, 0, 3, 4, 5]).now_us == 1
    for reply, wrong in (
        ([1, 0, 3, 4], "4 numbers, which are too few"),
        ([1, 1, 3, 4, 5], "1 too many"),
    ):
        with pytest.raises(ValueError, match=wrong):
            batch.read(reply)


def test_a_key_is_read_as_it_was_written() -> None:
    key = CounterKey("shop/models", "per-key", "cMonth@Europe/Berlin", "2001:db8::/64,%2C")
    assert CounterKey.parse(str(key)) == key
    for other in ("sluice:{shop/laptop/1}:meta", "sluice:{quota}:a/b:c:d", "sluice:{quota}:a/b/c"):
        with pytest.raises(ValueError, match="not the key"):
            CounterKey.parse(other)
