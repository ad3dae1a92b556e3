"""What consumers have used of the limits of a policy: whose counters a call means, and as JSON.

Where a policy's gateways name several Redis servers, each of them counts for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from controlplane.ledger.quota_counters import Spec
from controlplane.ledger.quota_keys import CounterKey, Kind
from controlplane.model.durations import format_instant
from controlplane.status.quotas import windows as named_windows
from controlplane.web.consumers import Consumer, TermsOf, by_id, by_key, read_values
from controlplane.web.errors import ApiError, bad_request, not_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.ledger.counters import Standing
    from controlplane.ledger.ledger import Tally
    from controlplane.model import Limit, ResolvedWindow
    from controlplane.translate import QuotaPlan
    from controlplane.web.consumers import Terms

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Account:
    """One consumer's counters of one limit in one Redis."""

    tally: Tally
    limit: Limit
    consumer: Consumer
    terms: Terms

    @property
    def keys(self) -> list[CounterKey]:
        """The counters' names, window by window."""
        policy = self.tally.plan.policy.policy
        return [
            CounterKey(policy, self.limit.name, window.id, self.consumer.id)
            for window in self.limit.resolved
        ]

    @property
    def counters(self) -> list[tuple[Spec, CounterKey]]:
        """The counters with what holds for them; none for those without a limit."""
        plan = self.tally.plan
        return [
            (spec_of(plan, window), key)
            for window, key in zip(self.terms.windows, self.keys, strict=False)
        ]


async def accounts_of(tallies: Sequence[Tally], given: dict[str, Any]) -> list[Account]:
    """Give the accounts that a call means: of each limit that its key or id goes with."""
    plan = tallies[0].plan
    values, consumer = read_values(given.get("key")), given.get("consumer")
    if consumer is not None and (values is not None or not isinstance(consumer, str)):
        raise bad_request("give either key, or consumer as a text")
    chosen = chosen_limits(plan, given.get("limit"), values, consumer)
    found = []
    for tally in tallies:
        identity = (await tally.keyring.ensure()).identity
        for limit in chosen:
            if consumer is not None:
                whom = by_id(limit, consumer, identity)
            else:
                whom = by_key(limit, values or (), identity)
            found.append(Account(tally, limit, whom, TermsOf(limit, identity).of(whom)))
    return found


def chosen_limits(
    plan: QuotaPlan, name: Any, values: Sequence[str] | None, consumer: str | None
) -> list[Limit]:
    """Give the limits that are meant: the named one, or all whose key has as many parts."""
    if name is not None or consumer is not None:
        limit = one_limit(plan, name)
        if consumer is None and len(limit.key) != len(values or ()):
            raise bad_request(f"limit {key_words(limit)}; {len(values or ())} were given")
        return [limit]
    found = [limit for limit in plan.policy.limits if len(limit.key) == len(values or ())]
    if not found:
        words = "; ".join(map(key_words, plan.policy.limits))
        raise bad_request(
            f"no limit of {plan.policy.policy} has a key of {len(values or ())} parts: {words}"
        )
    return found


def one_limit(plan: QuotaPlan, name: Any) -> Limit:
    """Find a limit by its name; the only one needs none."""
    policy = plan.policy
    known = ", ".join(limit.name for limit in policy.limits)
    if name is None and len(policy.limits) == 1:
        return policy.limits[0]
    if name is None:
        raise bad_request(f"{policy.policy} has several limits: say which ({known})")
    found = policy.limit(name) if isinstance(name, str) else None
    if found is None:
        raise not_found(f"{policy.policy} has no limit {name!r}; known: {known}")
    return found


def key_words(limit: Limit) -> str:
    """Say what a limit's key is made of."""
    parts = ", ".join(part.title for part in limit.key)
    return f"{limit.name} needs {parts}" if parts else f"{limit.name} needs no key"


def window_place(limit: Limit, name: str | None) -> int:
    """Find a window by its name; without one, the first."""
    names = [window.name for window in named_windows(limit)]
    if name is None:
        return 0
    if name not in names:
        raise not_found(f"limit {limit.name} has no window {name!r}; known: {', '.join(names)}")
    return names.index(name)


def spec_of(plan: QuotaPlan, window: ResolvedWindow) -> Spec:
    """Give a window as the script knows it."""
    span = plan.borders(window) if window.kind == "c" else window.span_ms
    return Spec(Kind(window.kind), window.amount, span, window.burst)


async def standing_of(policy: str, accounts: Sequence[Account]) -> dict[str, Any]:
    """Describe how accounts stand."""
    return {"quota": policy, "counters": [await account_json(one) for one in accounts]}


async def account_json(one: Account) -> dict[str, Any]:
    """Describe an account, window by window."""
    states: Sequence[Standing | None] = await one.tally.counters.read(one.counters)
    unlimited = not one.counters
    named = named_windows(one.limit)
    mine: Sequence[ResolvedWindow | None] = one.terms.windows or [None] * len(named)
    windows = [
        {
            "name": about.name,
            "id": about.id,
            "per": about.per,
            "amount": None if window is None else window.amount,
            "burst": window.burst if window is not None and window.kind == "b" else None,
            **standing_json(state),
        }
        for about, window, state in zip(named, mine, states or [None] * len(named), strict=True)
    ]
    return {
        "limit": one.limit.name,
        "redis": str(one.tally.counters.client.server),
        "gateways": list(one.tally.plan.gateways),
        "consumer": one.consumer.id,
        "algorithm": one.limit.algorithm,
        "counts": one.limit.counts,
        "unlimited": unlimited,
        "enforced": one.terms.enforced,
        "override": override_words(one.terms),
        "windows": windows,
    }


def standing_json(state: Standing | None) -> dict[str, Any]:
    """Describe how a counter stands; nothing is known of one that is not counted."""
    resets = None if state is None or state.resets_ms is None else instant(state.resets_ms)
    return {
        "used": None if state is None else state.used,
        "held": None if state is None else state.held,
        "remaining": None if state is None else state.remaining,
        "resetsAt": resets,
    }


def override_words(terms: Terms) -> str | None:
    """Name the override that holds by its place in the manifest; its consumer may be a secret."""
    if terms.override is not None:
        place = f"overrides[{terms.override}]"
        return f"{place}, or one before it" if terms.unsure else place
    return "perhaps: patterns cannot be told from a hash" if terms.unsure else None


async def top_of(tally: Tally, limit: Limit, place: int, count: int) -> dict[str, Any]:
    """List the most used consumers in one Redis."""
    plan = tally.plan
    identity = (await tally.keyring.ensure()).identity
    terms = TermsOf(limit, identity)

    def held_to(consumer: str) -> Spec | None:
        try:
            found = terms.of(by_id(limit, consumer, identity)).windows
        except ApiError:
            return None  # counted when the key had other parts
        return spec_of(plan, found[place]) if found else None

    window = limit.resolved[place].id
    found = await tally.counters.top(plan.policy.policy, limit.name, window, held_to, count)
    return {
        "redis": str(tally.counters.client.server),
        "gateways": list(plan.gateways),
        "counters": found.counters,
        "complete": found.complete,
        "consumers": [
            {"consumer": consumer, "amount": spec.amount, **standing_json(state)}
            for consumer, spec, state in found.consumers
        ],
    }


def instant(milliseconds: int) -> str:
    """Give a time of Redis's as people and programs read it."""
    return format_instant(_EPOCH + timedelta(milliseconds=milliseconds))
