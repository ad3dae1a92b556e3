"""What one stream and one resource type are at: wanted, had, sent, refused, leaving.

This is the core that both variants share. It never has more than one unanswered response, so that
a client's answer always refers to the newest state and a dropped stale request loses nothing (S4).
Work is tracked by name: `_dirty` holds the names that may need to be sent or removed, and each is
looked at again when a response can be made; so a change of one resource costs the same on a stream
of ten resources as on one of ten thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.xds.events import Accepted, Postponed, Refused, TypeReport
from controlplane.xds.exchange import Claim, Sent
from controlplane.xds.fetching import Fetching
from controlplane.xds.parking import GONE, Parking, blame
from controlplane.xds.snapshot import EMPTY_VERSION, content_version
from controlplane.xds.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from controlplane.xds.kinds import Kind
    from controlplane.xds.parking import Blame
    from controlplane.xds.resource import Resource
    from controlplane.xds.snapshot import View
    from controlplane.xds.subscription import Change

    MayLeave = Callable[[str, float], bool]


_NAMED = "-named"


class Progress:
    """One type on one stream, in one of the two variants."""

    def __init__(self, kind: Kind, *, delta: bool) -> None:
        self.kind = kind
        self.subscription = Subscription(legacy=kind.whole)
        self.seen = False  # whether the client has sent a request for this type
        self.outstanding: Sent | None = None
        self.last_nonce = ""
        self.held: dict[str, Resource | Claim] = {}  # what the client has by its own word
        self.leaving: dict[str, float] = {}  # names that are to be removed, and since when
        self.parking = Parking()
        self.fetching = Fetching()
        self._delta = delta
        self._whole = kind.whole and not delta
        self._view: View | None = None
        self._target: Mapping[str, Resource] = {}
        self._dirty: set[str] = set()
        self._forced: set[str] = set()  # to be sent even if the client has it
        self._insisted: set[str] = set()  # likewise, even if it was refused: the client asked
        self._told: set[str] = set()  # subscribed names that the client knows not to exist
        self._owed = False  # a response is due even if there is nothing in it
        self._claimed: str | None = None  # the type version that a reconnecting client names
        self._blank = True  # the client has nothing but what this stream sent
        self._brought: list[Resource] = []  # had from an earlier stream, and right
        self._acked = ""
        self._sent = ""

    # ------------------------------------------------------------------ what the client asks for
    def claim(self, version: str) -> None:
        """The first state-of-the-world request names a version from an earlier stream (S8)."""
        self.seen = True
        if version:
            self._blank = False
            self._claimed = version
        self._recall()

    def claim_all(self, initial: Mapping[str, str]) -> None:
        """The first delta request lists what the client has (D5); unsubscribed names count not."""
        self.seen = True
        for name, version in initial.items():
            if self.subscription.wants(name):
                self.held[name] = Claim(version)
                self._dirty.add(name)

    def apply(self, change: Change, *, claimed: Collection[str] = ()) -> None:
        """Follows a change of the subscription; what is `claimed` need not be sent just for it."""
        for name in change.dropped:
            self._forget(name)
        if change.dropped_all:
            under_way = self.outstanding.contents if self.outstanding else {}
            for name in {*self.held, *under_way}:
                if not self.subscription.wants(name):
                    self._forget(name)
        wanted = set(change.asked)
        if change.asked_all:
            wanted.update(self._target, self.held)
            self._owed = True
        self._owed |= self._whole and bool(change.asked)
        self._told -= wanted
        self._insisted |= wanted
        self._dirty |= wanted
        self._forced |= wanted.difference(claimed)
        # The wildcard still covers these: the client is told what became of them (D4).
        self._dirty |= change.uncertain
        self._forced |= change.uncertain

    def force(self, name: str) -> None:
        """Sends a resource again although it did not change (W3); later, if not wanted yet."""
        self._forced.add(name)
        self._dirty.add(name)

    def unforce(self, name: str) -> None:
        """Takes `force` back for a name that nobody asks for."""
        if not self.subscription.wants(name):
            self._forced.discard(name)
            self._dirty.discard(name)

    def _forget(self, name: str) -> None:
        self.held.pop(name, None)
        self.leaving.pop(name, None)
        self._dirty.discard(name)
        self._forced.discard(name)
        self._told.discard(name)
        self._insisted.discard(name)
        self.parking.forget(name)
        self.fetching.forget((name,))
        if self.outstanding:
            self.outstanding.void.add(name)

    # ---------------------------------------------------------------------- what it is to have
    def retarget(self, view: View, changed: frozenset[str]) -> None:
        """Aims at another view; `changed` are the names that differ from the one before."""
        first = self._view is None
        retried = self._view is not None and view.retries != self._view.retries
        self._view = view
        self._target = view.snapshot.of_type(self.kind.url)
        if first:
            self._dirty.update(self._target, self.held)
        elif changed:
            self._dirty.update(changed)
            # Last good content in the place of a suspect says nothing about the others.
            replaced = {name for url, name in view.substituted if url == self.kind.url}
            self._dirty |= self.parking.release(changed - replaced)
        if retried:
            self._dirty |= self.parking.release_all()
            self.fetching.clear()
        self._recall()

    def _recall(self) -> None:
        """Once both are known: finds what a client has that names the version of an old stream.

        Only where the version stands for everything: named resources are always sent, since the
        client may be waiting for them (S8).
        """
        if self._view is None or self._claimed is None:
            return
        past = self._view.recall(self.kind.url, self._claimed)
        if past is not None and self._whole and self.subscription.only_wildcard:
            self.held = dict(past)
            self._dirty.update(past)
            self._forced.clear()
            self._owed = False
            self._blank = True  # all that it has is known now
            self._brought.extend(
                one for one in past.values() if self._is_wanted(one.name, one.version)
            )
        self._claimed = None

    def brought(self) -> tuple[Resource, ...]:
        """Resources that the client has from an earlier stream and that are right; told once."""
        found, self._brought = tuple(self._brought), []
        return found

    # ------------------------------------------------------------------------ what it is sent
    def due(self, now: float, may_leave: MayLeave) -> tuple[dict[str, Resource], list[str]] | None:
        """The next response's resources and removed names; None when none is due.

        Args:
            now: in seconds, on any clock that only goes forward.
            may_leave: whether a name whose removal has been pending since a moment may go now.
        """
        if self._view is None or self.outstanding or not self.seen:
            return None
        contents, removed = self._examine(now, may_leave)
        if not contents and not removed and not (self._owed and self.subscription.active):
            self._owed = False
            return None
        if self._whole:
            contents = self._everything(removed)
        return contents, removed

    def worded(self, resource: Resource, nonce: str, *, started: bool) -> Resource:
        """Give content as this client is to have it, which `started` with this very stream."""
        nothing = resource.name not in self.held and not self.fetching.tried(resource.name)
        return resource.worded(nonce, opening=started and nothing)

    def _examine(self, now: float, may_leave: MayLeave) -> tuple[dict[str, Resource], list[str]]:
        contents: dict[str, Resource] = {}
        removed = []
        everything, names = self.subscription.wildcard, self.subscription.names
        for name in sorted(self._dirty):
            resource = self._target.get(name)
            if not everything and name not in names:
                # Not for now; a forced one waits for its subscription.
                self._dirty.discard(name)
            elif resource is None:
                if self._is_to_go(name, now, may_leave):
                    removed.append(name)
            elif self._is_to_come(name, resource, now):
                contents[name] = resource
        return contents, removed

    def _is_to_come(self, name: str, resource: Resource, now: float) -> bool:
        self.leaving.pop(name, None)
        if self.fetching.waits(name, resource.version, now) and name not in self._insisted:
            return False
        held = self.held.get(name)
        if held is None or held.version != resource.version or name in self._forced:
            parked = self.parking and self.parking.holds(name, resource.version)
            if not parked or name in self._insisted:
                return True
        elif isinstance(held, Claim):
            self.held[name] = resource
            self._brought.append(resource)
        self._dirty.discard(name)
        return False

    def _is_to_go(self, name: str, now: float, may_leave: MayLeave) -> bool:
        if name in self.held and (self._whole or (self._delta and self.kind.removable)):
            if not self.parking.holds(name, GONE):
                return may_leave(name, self.leaving.setdefault(name, now))
            self.leaving.pop(name, None)
            self._dirty.discard(name)
            return False
        if self._delta and self.kind.removable and name not in self.held:
            # It never was there: the client should know rather than wait (D6, D4).
            asked = name in self.subscription.names and name not in self._told
            if (asked or name in self._forced) and not self.parking.holds(name, GONE):
                return True
        # Otherwise absence is not told: the client keeps what it has (S11, S15, D10).
        self._dirty.discard(name)
        return False

    def _everything(self, removed: Collection[str]) -> dict[str, Resource]:
        """A full response: what is wanted, and what may not leave yet (S11)."""
        contents = {}
        for name, resource in self._target.items():
            if self.subscription.wants(name):
                kept = self._instead(name, resource)
                if kept is not None:
                    contents[name] = kept
        for name in self.leaving:
            held = self.held.get(name)
            if name not in removed and held is not None and not isinstance(held, Claim):
                contents[name] = held
        return contents

    def _instead(self, name: str, resource: Resource) -> Resource | None:
        """In a full response, for parked content: what the client has, else nothing.

        Nothing deletes what it has; so a client that may have something unknown gets the refused
        content again, but only in a response that is due for another reason.
        """
        if name in self._insisted or not self.parking.holds(name, resource.version):
            return resource
        held = self.held.get(name)
        if held is not None and not isinstance(held, Claim):
            return held
        return None if self._blank else resource

    def sent(
        self, nonce: str, now: float, contents: Mapping[str, Resource], removed: Collection[str]
    ) -> Sent:
        """Records a response, before it is written (S5)."""
        changed = tuple(
            resource
            for name, resource in contents.items()
            if name not in self.held or self.held[name].version != resource.version
        )
        forced = self._forced.intersection(contents)
        self._forced.difference_update(contents, removed)
        self._insisted.difference_update(contents, removed)
        self._dirty.difference_update(contents.keys() - self.leaving.keys(), removed)
        self._owed = False
        self.last_nonce = nonce
        self._sent = self._version_with(contents)
        self.outstanding = Sent(
            nonce=nonce,
            version=self._sent,
            contents=contents,
            changed=changed,
            forced=frozenset(forced),
            removed=tuple(removed),
            at=now,
            serial=self._view.serial if self._view else 0,
        )
        return self.outstanding

    def _version_with(self, contents: Mapping[str, Resource]) -> str:
        if self._view is None:
            return EMPTY_VERSION
        version = self._view.snapshot.version_of(self.kind.url)
        if self._whole and contents != self._target:
            version = content_version(contents.values())
        if self._whole and not self.subscription.only_wildcard:
            # Must not be taken for the version of everything on a later stream (S8).
            version += _NAMED
        return version

    # ---------------------------------------------------------------------- what it says to it
    def answer(self, nonce: str, error: str | None) -> Accepted | Postponed | Refused | None:
        """Takes the client's answer to a response; None when none of that nonce is unanswered."""
        sent = self.outstanding
        if sent is None or sent.nonce != nonce:
            return None
        self.outstanding = None
        if error is None:
            return self._accept(sent)
        if self.fetching.postpone(sent.changed, error):
            self._doubt(sent, [one.name for one in sent.changed])
            return Postponed(self.kind, error)
        return self._refuse(sent, error)

    def _accept(self, sent: Sent) -> Accepted:
        arrived = sent.contents
        if sent.void:
            arrived = {name: one for name, one in arrived.items() if name not in sent.void}
        if self._whole:
            self.held = dict(arrived)
            self.leaving = {name: at for name, at in self.leaving.items() if name in arrived}
            self._blank = True
        else:
            self.held.update(arrived)
        for name in sent.removed:
            self.held.pop(name, None)
            self.leaving.pop(name, None)
            if name in self.subscription.names and name not in sent.void:
                self._told.add(name)
        if self.parking:
            for name, resource in arrived.items():
                if self.parking.holds(name, resource.version):
                    self.parking.forget(name)  # innocent after all
        self.fetching.forget(arrived)
        self._acked = sent.version
        return Accepted(self.kind, sent.changed, sent.serial)

    def _refuse(self, sent: Sent, message: str) -> Refused:
        suspects = {one.name: one.version for one in sent.changed}
        if not suspects:
            suspects = {name: one.version for name, one in sent.contents.items()}
            suspects.update(dict.fromkeys(sent.removed, GONE))
        suspects = {name: ver for name, ver in suspects.items() if name not in sent.void}
        self._doubt(sent, suspects)
        blamed = blame(suspects, message)
        for group in self._to_park(sent, blamed):
            self.parking.park(group)
        return Refused(self.kind, sent.version, message, blamed)

    def _doubt(self, sent: Sent, suspects: Iterable[str]) -> None:
        """The client may have applied a part, or nothing.

        Whatever they are to have later is sent, even if it is what they had before (D8).
        """
        unsure = {*suspects, *sent.forced, *sent.removed} - sent.void
        self._forced |= unsure
        self._dirty |= unsure
        for name in unsure.intersection(sent.contents):
            self.held.setdefault(name, Claim(""))

    def _to_park(self, sent: Sent, blamed: Blame) -> Blame:
        had = {name for name, held in self.held.items() if not isinstance(held, Claim)}
        unknown = any(group.keys() - had for group in blamed)
        if self._whole and not self._blank and unknown:
            # The client may have something older under these names that nobody here knows: a
            # full response without them would delete it. So all waits for a change (S7).
            everything = {name: one.version for name, one in sent.contents.items()}
            everything.update(dict.fromkeys(sent.removed, GONE))
            return ({name: ver for name, ver in everything.items() if self._is_wanted(name, ver)},)
        return tuple(
            group
            for group in blamed
            if all(self._is_wanted(name, version) for name, version in group.items())
        )

    def _is_wanted(self, name: str, version: str) -> bool:
        now = self._target.get(name)
        return (now.version if now else GONE) == version

    # ----------------------------------------------------------------------------------- status
    @property
    def at_rest(self) -> bool:
        """Nothing unanswered, nothing to send, nothing refused."""
        return not (self.outstanding or self._owed or self.parking or self._pending())

    @property
    def idle(self) -> bool:
        """Nothing to look at: neither something to send nor something to remove."""
        return not self._dirty and not self._owed

    @property
    def waits(self) -> bool:
        """Whether something is to be sent."""
        return self._owed or self._pending()

    def _pending(self) -> bool:
        return bool(self._dirty) and any(
            name not in self.leaving for name in self._dirty if self.subscription.wants(name)
        )

    def report(self) -> TypeReport:
        """What is known, for the status."""
        in_sync = self._view is not None and self.at_rest
        current = self._view.snapshot.version_of(self.kind.url) if self._view else ""
        return TypeReport(
            sent=self._sent,
            acked=current if in_sync else self._acked,
            in_sync=in_sync,
            subscribed=-1 if self.subscription.wildcard else len(self.subscription.names),
        )
