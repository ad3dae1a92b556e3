"""The ConfigMaps with filter code on an API server: what is there, read, written, deleted.

Which code there is and what was chosen is followed by two watches and known without asking. Of
code only the metadata is followed; the code itself is fetched when somebody wants it.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from controlplane.kube import (
    CONFIG_MAPS,
    AlreadyExistsError,
    Deleted,
    Interrupted,
    KubeError,
    Listed,
    NotFoundError,
    Put,
    Resumed,
    Rhythm,
    Target,
    UnavailableError,
    version_of,
    watching,
)
from controlplane.web import code_objects
from controlplane.web.code_objects import CHOICE, LABEL, Choice, SharedCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controlplane.kube import Change, Object, Session

_MANY: Final = 500
_PATIENCE: Final = 3.0
"""Seconds to wait for the watch to tell what was written."""


class CodeShelf:
    """The shelf that all replicas have in common, in one namespace."""

    def __init__(self, session: Session, rhythm: Rhythm | None = None) -> None:
        self._session = session
        self._rhythm = rhythm or Rhythm()
        place = session.namespace
        self._choice_target = Target(CONFIG_MAPS, place, fields=f"metadata.name={CHOICE}")
        self._code_target = Target(CONFIG_MAPS, place, labels=LABEL, metadata_only=True)
        self._unlisted = {self._choice_target, self._code_target}
        self._troubles: dict[Target, KubeError] = {}
        self._codes: dict[str, SharedCode] = {}
        self._choice: Object | None = None
        self._heard = asyncio.Condition()

    # ------------------------------------------------------------------------------ what is known
    @property
    def known(self) -> bool:
        """Whether it was read; what is known since may be out of date."""
        return not self._unlisted

    @property
    def trouble(self) -> KubeError | None:
        """Why nothing new is heard, if so."""
        return next(iter(self._troubles.values()), None)

    @property
    def refused(self) -> bool:
        """Whether the server answered, and will not let us read it."""
        return any(not isinstance(one, UnavailableError) for one in self._troubles.values())

    @property
    def codes(self) -> list[SharedCode]:
        """All codes there are."""
        return list(self._codes.values())

    @property
    def choices(self) -> dict[str, Choice]:
        """What was chosen by hand, by filter."""
        return code_objects.choices(self._choice)

    def has(self, stem: str, sha256: str) -> bool:
        """Tell whether a code is there."""
        return code_objects.name_of(stem, sha256) in self._codes

    def find(self, sha256: str) -> SharedCode | None:
        """Give the code with this hash."""
        return next((one for one in self._codes.values() if one.sha256 == sha256), None)

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keep what is known up to date; never ends."""
        followed = (self._choice_target, self._code_target)
        async with watching(self._session, followed, rhythm=self._rhythm) as changes:
            async for target, change in changes:
                if self._take(target, change):
                    async with self._heard:
                        self._heard.notify_all()
                    changed()

    def _take(self, target: Target, change: Change) -> bool:
        if isinstance(change, Interrupted):
            self._troubles[target] = change.error
        elif isinstance(change, Resumed):
            self._troubles.pop(target, None)
        elif isinstance(change, Listed):
            self._unlisted.discard(target)
            if target == self._choice_target:
                self._choice = next(iter(change.objects.values()), None)
            else:
                self._codes = dict(_described(list(change.objects.values())))
        elif isinstance(change, Put):
            if target == self._choice_target:
                self._choice = change.obj
            else:
                self._codes.update(_described([change.obj]))
        elif isinstance(change, Deleted):
            if target == self._choice_target:
                self._choice = None
            else:
                self._codes.pop(change.key[1], None)
        else:
            return False
        return True

    # ---------------------------------------------------------------------------- what is asked
    async def look(self) -> list[SharedCode]:
        """Ask which codes there are: a watch may be a moment late."""
        page = await self._session.page(
            CONFIG_MAPS, self._session.namespace, limit=_MANY, labels=LABEL, metadata_only=True
        )
        return list(dict(_described(page.get("items") or [])).values())

    async def fetch(self, stem: str, sha256: str) -> bytes:
        """Read a code.

        Raises:
            FilterError: what is there is not that code.
            KubeError: it cannot be read, or is not there.
        """
        name = code_objects.name_of(stem, sha256)
        obj = await self._session.get(CONFIG_MAPS, name, self._session.namespace)
        return await asyncio.to_thread(code_objects.read, obj, stem, sha256)

    async def put(self, stem: str, code: bytes) -> None:
        """Write a code, unless it is there.

        Raises:
            FilterError: it is too large, or something else has its name.
            KubeError: it cannot be written.
        """
        place, now = self._session.namespace, datetime.now(UTC)
        obj = await asyncio.to_thread(code_objects.write, stem, code, place, now)
        try:
            made = await self._session.create(CONFIG_MAPS, obj)
        except AlreadyExistsError:  # by another replica, just now; or it is something else
            await self.fetch(stem, hashlib.sha256(code).hexdigest())
            return
        self._codes.update(_described([made]))

    async def mark(self, code: SharedCode) -> None:
        """Write down that a code is in use now."""
        await self._session.patch(
            CONFIG_MAPS,
            code_objects.name_of(code.filter, code.sha256),
            self._session.namespace,
            body=code_objects.used_patch(datetime.now(UTC)),
        )

    async def delete(self, code: SharedCode) -> None:
        """Delete a code, if it is still that object."""
        name = code_objects.name_of(code.filter, code.sha256)
        try:
            await self._session.delete(
                CONFIG_MAPS, name, self._session.namespace, uid=code.uid or None
            )
        except NotFoundError:
            return

    async def choose(self, chosen: Mapping[str, str | None]) -> None:
        """Write down what is in force; returns when this replica has heard of it as well.

        Raises:
            KubeError: it cannot be written.
        """
        patch = code_objects.choice_patch(chosen, datetime.now(UTC))
        place = self._session.namespace
        try:
            obj = await self._session.patch(CONFIG_MAPS, CHOICE, place, body=patch)
        except NotFoundError:
            if not any(chosen.values()):
                return
            try:
                obj = await self._session.create(
                    CONFIG_MAPS, code_objects.choice_object(patch, place)
                )
            except AlreadyExistsError:  # by another replica, just now
                obj = await self._session.patch(CONFIG_MAPS, CHOICE, place, body=patch)
        await self._hear_of(obj)

    async def _hear_of(self, obj: Object) -> None:
        """Wait until the watch is as far as this; not for long, as it may be cut."""
        meant = code_objects.choices(obj)

        def caught_up() -> bool:
            known = self._choice
            return self.choices == meant or (known is not None and _number(known) >= _number(obj))

        async with self._heard:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._heard.wait_for(caught_up)
            except TimeoutError:
                return


def _number(obj: Object) -> int:
    version = version_of(obj)
    return int(version) if version.isdecimal() else 0


def _described(objects: list[Object]) -> list[tuple[str, SharedCode]]:
    """Give what is code of ours, by name; others may set our label."""
    found: list[tuple[str, Any]] = [
        (obj["metadata"]["name"], code_objects.describe(obj)) for obj in objects
    ]
    return [(name, code) for name, code in found if code is not None]
