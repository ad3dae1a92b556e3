"""The part of the API about quotas, and what consumers have used of them.

A consumer's key is in the body of a call, never in its address, as addresses end up in logs. The
audit line shows a hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from controlplane.ledger.quota_keys import pattern
from controlplane.model.quota_costs import MAX_UNITS
from controlplane.status.quotas import windows as named_windows
from controlplane.web.errors import ApiError, bad_request, not_found
from controlplane.web.quota_accounts import (
    accounts_of,
    one_limit,
    standing_of,
    top_of,
    window_place,
)
from controlplane.web.requests import audit, body, endpoint, only, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from controlplane.ledger.ledger import Tally
    from controlplane.web.control import Control
    from controlplane.web.quota_accounts import Account

TOP: Final = 10
MAX_TOP: Final = 1000
MAX_CURSOR: Final = 2**64 - 1


class QuotasApi:
    """Handlers; each gives what is answered as JSON."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def routes(self, hosts: frozenset[str]) -> list[Route]:
        """Give the routes, below /api/v1."""
        one = "/quotas/{namespace}/{name}"
        table = [
            ("GET", "/quotas", self.list),
            ("GET", one, self.show),
            ("POST", f"{one}/get", self.get),
            ("POST", f"{one}/reset", self.reset),
            ("POST", f"{one}/adjust", self.adjust),
            ("GET", f"{one}/top", self.top),
        ]
        return [
            Route(path, endpoint(handler, hosts), methods=[method])
            for method, path, handler in table
        ]

    async def list(self, _: Request) -> dict[str, Any]:
        """List all policies."""
        found = self._control.status().of_kind("QuotaPolicy")
        return {"quotas": [one.as_json() for one in found]}

    async def show(self, request: Request) -> dict[str, Any]:
        """Show one policy."""
        name = policy_name(request)
        found = self._control.status().quota(name)
        if found is None:
            raise self._unknown(name)
        return found.as_json()

    async def get(self, request: Request) -> dict[str, Any]:
        """Show what a consumer has used; changes nothing, the body is for the key's sake."""
        given = only(await body(request), "limit", "key", "consumer")
        accounts = await accounts_of(self._tallies(request), given)
        return await standing_of(policy_name(request), accounts)

    async def reset(self, request: Request) -> dict[str, Any]:
        """Forget what a consumer, or (all: true) everybody, has used.

        Of everybody as much as one call's time allows: `next` says where to go on, if not null.
        """
        given = only(await body(request), "limit", "key", "consumer", "all", "next")
        if "all" in given or "next" in given:
            return await self._reset_all(request, given)
        accounts = await accounts_of(self._tallies(request), given)
        forgotten = 0
        for one in accounts:
            count = await one.tally.counters.forget(one.keys)
            self._audit(request, "quota reset", one, forgotten=count)
            forgotten += count
        return {"quota": policy_name(request), "forgotten": forgotten, "next": None}

    async def adjust(self, request: Request) -> dict[str, Any]:
        """Charge a consumer units, or give back: of one limit, in all of its windows."""
        given = only(await body(request), "limit", "key", "consumer", "units")
        units = given.get("units")
        if not isinstance(units, int) or isinstance(units, bool) or not 0 < abs(units) <= MAX_UNITS:
            raise bad_request(f"units must be a number up to {MAX_UNITS}, or below zero; not 0")
        accounts = await accounts_of(self._tallies(request), given)
        names = sorted({one.limit.name for one in accounts})
        if len(names) > 1:
            raise bad_request(f"the key goes with several limits: say which ({', '.join(names)})")
        for one in accounts:
            if not one.counters:
                raise ApiError(
                    409, "Unlimited", f"limit {names[0]} does not apply to this consumer"
                )
            await one.tally.counters.adjust(one.counters, units)
            self._audit(request, "quota adjust", one, units=units)
        return await standing_of(policy_name(request), accounts)

    async def top(self, request: Request) -> dict[str, Any]:
        """List the consumers that have used most of a limit in its present window."""
        tallies = self._tallies(request)
        limit = one_limit(tallies[0].plan, request.query_params.get("limit"))
        place = window_place(limit, request.query_params.get("window"))
        count = whole_number(request, "count", TOP, MAX_TOP) or TOP
        return {
            "quota": policy_name(request),
            "limit": limit.name,
            "window": named_windows(limit)[place].name,
            "places": [await top_of(tally, limit, place, count) for tally in tallies],
        }

    # ------------------------------------------------------------------------------------- inside

    async def _reset_all(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("all") is not True or "key" in given or "consumer" in given:
            raise bad_request("name a consumer by key or consumer, or say all: true")
        tallies = self._tallies(request)
        name = given.get("limit")
        limit = None if name is None else one_limit(tallies[0].plan, name).name
        at, cursor = read_next(given.get("next"), len(tallies))
        tally = tallies[at]
        match = pattern(policy_name(request), limit or "")
        done = await tally.counters.forget_all(match, cursor)
        following = (at, done.cursor) if done.cursor else (at + 1, 0)
        more = following[0] < len(tallies)
        audit(
            request,
            "quota reset",
            quota=policy_name(request),
            limit=limit or "all",
            consumer="all",
            redis=str(tally.counters.client.server),
            forgotten=done.count,
        )
        return {
            "quota": policy_name(request),
            "forgotten": done.count,
            "next": f"{following[0]}:{following[1]}" if more else None,
        }

    def _audit(self, request: Request, action: str, one: Account, **fields: Any) -> None:
        audit(
            request,
            action,
            quota=policy_name(request),
            limit=one.limit.name,
            consumer=one.consumer.hashed if one.limit.key else one.consumer.id,
            redis=str(one.tally.counters.client.server),
            **fields,
        )

    def _tallies(self, request: Request) -> Sequence[Tally]:
        name = policy_name(request)
        tallies = self._control.ledger.tallies(name)
        if tallies:
            return tallies
        if self._control.status().quota(name) is None:
            raise self._unknown(name)
        raise ApiError(
            409, "NotInForce", f"{name} is in force on no gateway: see `sluice quota show {name}`"
        )

    def _unknown(self, name: str) -> ApiError:
        known = [one.name for one in self._control.status().of_kind("QuotaPolicy")]
        shown = ", ".join(known[:10]) or "there are none"
        return not_found(f"there is no quota policy {name!r}; known: {shown}")


def policy_name(request: Request) -> str:
    """Give the policy that a path names."""
    return f"{request.path_params['namespace']}/{request.path_params['name']}"


def read_next(given: Any, places: int) -> tuple[int, int]:
    """Read where a reset of everybody is to go on: which Redis, and the cursor there."""
    if given is None:
        return 0, 0
    place, colon, cursor = given.partition(":") if isinstance(given, str) else ("", "", "")
    if colon and place.isdecimal() and cursor.isdecimal():
        found = int(place), int(cursor)
        if found[0] < places and found[1] <= MAX_CURSOR:
            return found
    raise bad_request("next must be what the call before has answered")
