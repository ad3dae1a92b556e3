"""What the store remembers of one gateway: the newest content, what was refused, what was good.

A proxy that refuses a resource keeps what it has. That is not enough: a proxy that starts the next
minute has nothing, would be sent the refused content, and would come up with a hole in it. So:

- What was refused is remembered by content, and with the proxies that refused it, until the
  content changes. (A change of one of several suspects frees all of them, see `parking`.)
- Content that some proxy accepted is good for all others; a proxy that refuses it nevertheless
  (another version, a file that its machine lacks) is the only one that is not sent it again.
- Content that was refused and never accepted is sent to nobody else. In its place proxies get the
  last good content: the newest that any proxy of the gateway accepted.
- As long as an older listener, route table or extension stays in force that way, what it may refer
  to (clusters, endpoints, secrets ...) stays as well, although the newest content has it no more.
- Where nothing good is known (the gateway is new, or the control plane was restarted) a stream
  that refused content is not sent it again, but a new stream is: a resource that is missing
  altogether helps no one, and a proxy refuses at most once per connection.
- A cause that lies outside the content (a port in use, a file that was missing) can be mended
  without a change of content: then an operator says `retry`.

All of it is bounded: two good versions per resource, the proxies of one refusal counted to a limit,
and all refusals of content that is no longer wanted dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from controlplane.xds.kinds import CLUSTER, LISTENER, REFERRED, REFERRERS
from controlplane.xds.snapshot import Snapshot, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from controlplane.xds.events import Refused
    from controlplane.xds.resource import Resource

_GOOD_VERSIONS = 2
_PAST_VERSIONS = 8
_NODES_REMEMBERED = 4096
_ORPHANS = 10_000

Key = tuple[str, str]  # type URL, name


@dataclass(slots=True)
class Refusal:
    """Content that proxies refused together.

    Attributes:
        type_url: its type.
        contents: name -> version; empty for a removal.
        version: of the response in which it was refused last.
        messages: node id -> what that proxy said.
    """

    type_url: str
    contents: Mapping[str, str]
    version: str = ""
    messages: OrderedDict[str, str] = field(default_factory=OrderedDict)


class Gateway:
    """The memory of one gateway."""

    def __init__(self) -> None:
        self.wanted = Snapshot.of(())
        self.serial = 0
        self.refusals: list[Refusal] = []
        self._published = 0.0
        self._retries = 0
        # Newest first, each with the serial of the view that it was accepted from.
        self._good: dict[Key, tuple[tuple[int, Resource], ...]] = {}
        self._past: OrderedDict[tuple[str, str], Mapping[str, Resource]] = OrderedDict()
        self._views: dict[frozenset[Key], View] = {}

    # ---------------------------------------------------------------------------------- content
    def publish(self, snapshot: Snapshot, now: float) -> bool:
        """Makes a snapshot the newest; False when its content is what was there before."""
        if self.serial and snapshot.version == self.wanted.version:
            return False
        self._keep_past()
        self.wanted = snapshot.sharing(self.wanted)
        self.serial += 1
        self._published = now
        self.refusals = [one for one in self.refusals if self._stands(one.type_url, one.contents)]
        self._drop_orphans()
        self._views.clear()
        return True

    def view(self, node_id: str) -> View:
        """What a proxy is to have now."""
        avoided = frozenset(self._avoided(node_id)) if self.refusals else frozenset()
        view = self._views.get(avoided)
        if view is None:
            replaced = {key: good for key in avoided if (good := self._last_good(key))}
            view = self._views[avoided] = View(
                snapshot=self._without(avoided, replaced) if avoided else self.wanted,
                serial=self.serial,
                retries=self._retries,
                published=self._published,
                substituted=frozenset(replaced),
                past=MappingProxyType(dict(self._past)),
            )
        return view

    def _avoided(self, node_id: str) -> Iterator[Key]:
        for refusal in self.refusals:
            own = node_id in refusal.messages
            for name, version in refusal.contents.items():
                key = (refusal.type_url, name)
                if version and (own or not self._is_good(key, version)):
                    yield key

    def _without(self, avoided: frozenset[Key], replaced: Mapping[Key, Resource]) -> Snapshot:
        """The wanted content, with the last good content in the place of what is avoided."""
        content: dict[Key, Resource] = {}
        if any(url in REFERRERS for url, _ in avoided):
            content.update({key: self._good[key][0][1] for key in self._orphans()})
        content.update(_by_key(self.wanted))
        content.update(replaced)
        return Snapshot.of(content.values())

    def _last_good(self, key: Key) -> Resource | None:
        wanted = self.wanted.get(*key)
        for _, resource in self._good.get(key, ()):
            if wanted is None or resource.version != wanted.version:
                return resource
        return None

    def _keep_past(self) -> None:
        # Only these two are recalled by version (S8).
        for url in (CLUSTER, LISTENER) if self.serial else ():
            key = (url, self.wanted.version_of(url))
            self._past[key] = self.wanted.of_type(url)
            self._past.move_to_end(key)
        while len(self._past) > _PAST_VERSIONS:
            self._past.popitem(last=False)

    # ---------------------------------------------------------------------------------- answers
    def accept(self, node_id: str, resources: Iterable[Resource], serial: int) -> bool:
        """A proxy has this content. True when that changes what others are to have."""
        disputed, news = bool(self.refusals), False
        for resource in resources:
            key = (resource.type_url, resource.name)
            good = self._good.get(key)
            if disputed or good is None or good[0][1].version != resource.version:
                news |= self._add_good(key, resource, serial)
                news |= self._absolve(node_id, resource)
        if news:
            self._drop_orphans()
        if news and disputed:
            self._views.clear()
        return news and disputed

    def refuse(self, node_id: str, refused: Refused) -> bool:
        """A proxy refused content. True when that changes what others are to have."""
        url = refused.kind.url
        groups = [group for group in refused.blamed if self._stands(url, group)]
        for group in groups:
            self._record(url, group, refused.version, {node_id: refused.message})
        if groups:
            self._views.clear()
        return bool(groups)

    def _record(
        self, url: str, group: Mapping[str, str], version: str, messages: Mapping[str, str]
    ) -> None:
        same = (one for one in self.refusals if one.type_url == url and one.contents == group)
        found = next(same, None)
        if found is None:
            found = Refusal(url, group)
            self.refusals.append(found)
        found.version = version
        found.messages.update(messages)
        while len(found.messages) > _NODES_REMEMBERED:
            found.messages.popitem(last=False)

    def retry(self) -> None:
        """Forgets what was refused: it is sent once more to everybody."""
        self.refusals.clear()
        self._retries += 1
        self._drop_orphans()
        self._views.clear()

    def _add_good(self, key: Key, resource: Resource, serial: int) -> bool:
        wanted = self.wanted.get(*key)
        before = self._good.get(key, ())
        others = [one for one in before if one[1].version != resource.version]
        ranked = sorted(
            [(serial, resource), *others],
            key=lambda one: (wanted is not None and one[1].version == wanted.version, one[0]),
            reverse=True,
        )
        self._good[key] = tuple(ranked[:_GOOD_VERSIONS])
        return [one.version for _, one in before] != [one.version for _, one in self._good[key]]

    def _absolve(self, node_id: str, resource: Resource) -> bool:
        """A proxy took what it had refused together with others: only they are suspect now."""
        found = [
            one
            for one in self.refusals
            if one.type_url == resource.type_url
            and one.contents.get(resource.name) == resource.version
            and node_id in one.messages
        ]
        for refusal in found:
            message = refusal.messages.pop(node_id)
            rest = {name: refusal.contents[name] for name in refusal.contents}
            del rest[resource.name]
            if rest:
                self._record(refusal.type_url, rest, refusal.version, {node_id: message})
        self.refusals = [one for one in self.refusals if one.messages]
        return bool(found)

    def _is_good(self, key: Key, version: str) -> bool:
        return any(one.version == version for _, one in self._good.get(key, ()))

    def _stands(self, type_url: str, contents: Mapping[str, str]) -> bool:
        """Whether all of this content is still wanted."""
        wanted = self.wanted.of_type(type_url)
        return bool(contents) and all(
            (wanted[name].version if name in wanted else "") == version
            for name, version in contents.items()
        )

    # ---------------------------------------------------------------------------------- orphans
    def _orphans(self) -> list[Key]:
        return [
            (url, name)
            for url, name in self._good
            if url in REFERRED and self.wanted.get(url, name) is None
        ]

    def _drop_orphans(self) -> None:
        """Forgets good content that is wanted no more, once nothing old can refer to it."""
        orphans = [key for key in self._good if self.wanted.get(*key) is None]
        if orphans and self._may_fall_back():
            orphans = orphans[: max(0, len(orphans) - _ORPHANS)]
        for key in orphans:
            del self._good[key]

    def _may_fall_back(self) -> bool:
        """Whether some proxy may have to keep, or be sent, an older referrer."""
        return any(one.type_url in REFERRERS for one in self.refusals) or not all(
            self._is_good((url, name), resource.version)
            for url in REFERRERS
            for name, resource in self.wanted.of_type(url).items()
        )


def _by_key(snapshot: Snapshot) -> dict[Key, Resource]:
    return {
        (url, name): resource
        for url, named in snapshot.resources.items()
        for name, resource in named.items()
    }
