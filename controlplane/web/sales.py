"""The part of the API about sales and their books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from controlplane.model.flash_sale import MAX_STOCK
from controlplane.web.errors import ApiError, bad_request, not_found
from controlplane.web.requests import audit, body, endpoint, only, whole_number
from controlplane.web.users import read_users

if TYPE_CHECKING:
    from starlette.requests import Request

    from controlplane.ledger.ledger import Account
    from controlplane.web.control import Control

PAGE: Final = 1000
MAX_PAGE: Final = 5000
MAX_LOG: Final = 10**12


class SalesApi:
    """Handlers; each gives what is answered as JSON."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def routes(self, hosts: frozenset[str]) -> list[Route]:
        """Give the routes, below /api/v1."""
        one = "/sales/{namespace}/{name}"
        table = [
            ("GET", "/sales", self.list),
            ("GET", one, self.show),
            ("POST", f"{one}/suspend", self.suspend),
            ("POST", f"{one}/resume", self.resume),
            ("POST", f"{one}/limit", self.set_limit),
            ("POST", f"{one}/restore", self.restore),
            ("POST", f"{one}/reset", self.reset),
            ("GET", f"{one}/data", self.data),
            ("POST", f"{one}/data/apply", self.apply),
            ("POST", f"{one}/data/delete", self.delete),
        ]
        return [
            Route(path, endpoint(handler, hosts), methods=[method])
            for method, path, handler in table
        ]

    async def list(self, _: Request) -> dict[str, Any]:
        """List all sales."""
        found = self._control.status().of_kind("FlashSale")
        return {"sales": [one.as_json() for one in found]}

    async def show(self, request: Request) -> dict[str, Any]:
        """Show one sale."""
        name = sale_name(request)
        found = self._control.status().sale(name)
        if found is None:
            raise self._unknown(name)
        return found.as_json()

    async def suspend(self, request: Request) -> dict[str, Any]:
        """Stop a sale by hand; takes effect within a poll, loses nothing."""
        return await self._adjust(request, "suspend", suspended="1")

    async def resume(self, request: Request) -> dict[str, Any]:
        """Undo `suspend`."""
        return await self._adjust(request, "resume", suspended="0")

    async def set_limit(self, request: Request) -> dict[str, Any]:
        """Set the limit by hand, or (null) leave it to the manifest again."""
        limit = only(await body(request), "limit").get("limit", "")
        if limit is None:
            return await self._adjust(request, "set-limit", override="")
        if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= MAX_STOCK:
            raise bad_request(f"limit must be a number from 0 to {MAX_STOCK}, or null")
        return await self._adjust(request, "set-limit", override=str(limit))

    async def restore(self, request: Request) -> dict[str, Any]:
        """Accept the books as they are, after a loss: the sale goes on."""
        self._account(request).keeper.accept()
        return await self._adjust(request, "restore", closed="")

    async def reset(self, request: Request) -> dict[str, Any]:
        """Empty the books: everybody let in is forgotten, all permits are there again."""
        only(await body(request))
        account = self._account(request)
        await account.books.reset()
        account.keeper.accept()
        return self._done(request, account, "reset")

    async def data(self, request: Request) -> dict[str, Any]:
        """Give a page of the users let in, in the order in which they were."""
        account = self._account(request)
        first = whole_number(request, "first", 0, MAX_LOG)
        count = whole_number(request, "count", PAGE, MAX_PAGE) or PAGE
        entries, following, generation = await account.books.users(first, count)
        return {
            "sale": sale_name(request),
            "generation": generation,
            "next": following,
            "users": [
                {"user": entry.user, "number": entry.number, "how": entry.how.word}
                for entry in entries
            ],
        }

    async def apply(self, request: Request) -> dict[str, Any]:
        """Let users in by hand; those who are in keep their numbers."""
        account = self._account(request)
        users = await read_users(account, only(await body(request), "users").get("users"))
        numbers = await account.books.grant(users)
        pairs = zip(users, numbers, strict=True)
        done = self._done(request, account, "data apply", users=len(users))
        return {**done, "users": [{"user": user, "number": number} for user, number in pairs]}

    async def delete(self, request: Request) -> dict[str, Any]:
        """Forget users, or (all: true) everybody."""
        account = self._account(request)
        given = only(await body(request), "users", "all")
        if given.get("all") is True and "users" not in given:
            removed = await account.books.forget_all()
        elif "all" in given:
            raise bad_request("give either users, or all: true")
        else:
            removed = await account.books.forget(await read_users(account, given.get("users")))
        done = self._done(request, account, "data delete", removed=removed)
        return {**done, "removed": removed}

    # ------------------------------------------------------------------------------------- inside

    async def _adjust(self, request: Request, action: str, **fields: str) -> dict[str, Any]:
        if action != "set-limit":
            only(await body(request))
        account = self._account(request)
        await account.books.adjust(**fields)
        return self._done(request, account, action, **fields)

    def _done(
        self, request: Request, account: Account, action: str, **fields: Any
    ) -> dict[str, Any]:
        name = sale_name(request)
        account.keeper.poke()
        audit(request, action, sale=name, **fields)
        return {"sale": name, "done": action}

    def _account(self, request: Request) -> Account:
        name = sale_name(request)
        account = self._control.ledger.account(name)
        if account is not None:
            return account
        if self._control.status().sale(name) is None:
            raise self._unknown(name)
        raise ApiError(
            409, "NotInForce", f"{name} is in force on no gateway: see `sluice sale show {name}`"
        )

    def _unknown(self, name: str) -> ApiError:
        known = [one.name for one in self._control.status().of_kind("FlashSale")]
        shown = ", ".join(known[:10]) or "there are none"
        return not_found(f"there is no sale {name!r}; known: {shown}")


def sale_name(request: Request) -> str:
    """Give the sale that a path names."""
    return f"{request.path_params['namespace']}/{request.path_params['name']}"
