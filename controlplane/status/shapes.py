"""An object's status as the API server is to have it: our words in the shapes of its kind.

Pure. What is written depends on what stands there: a condition keeps the time of its last
transition over restarts and changes of leader, and where the schema makes a list one value (the
parents of a route), what others said in it is sent along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from controlplane.model import Condition, Gateway, GatewayClass
from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.status.objects import OF_BOOKS, OUR_CONDITIONS, SalePhase

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.model import Inventory
    from controlplane.model.gateway import Listener
    from controlplane.model.route import ParentReference
    from controlplane.sources.standings import Standing
    from controlplane.status.objects import ObjectStatus, PartStatus, Proxies, SaleStatus

Body: TypeAlias = dict[str, Any]
"""The fields of a status that are ours."""
_NUMBERS: Final = frozenset({"admitted", "message", "proxies", "remaining"})
"""Fields for which nobody waits, however often they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What one status is made from: what we know, and what stands there."""

    standing: Standing
    inventory: Inventory
    now: datetime
    status: ObjectStatus | None = None
    """None when we have nothing to say of the object."""
    invalid: tuple[str, ...] = ()
    """Why its newest version cannot be read."""
    addresses: tuple[Mapping[str, str], ...] = ()
    settled: bool = True
    """Whether all proxies had the time to be known of."""

    @property
    def said(self) -> Mapping[str, Any]:
        """The status that stands there."""
        return self.standing.status


def body(kind: str, known: Known) -> Body | None:
    """Give what should be said of an object; None when it is not ours to speak of."""
    if kind == "HTTPRoute":
        return _route(known)
    own = kind in {"FlashSale", "QuotaPolicy"}
    status = known.status
    if status is None:
        return _conditions([_invalid(known)], known) if own and known.invalid else None
    if kind == "Gateway":
        return _gateway(status, known)
    made = _conditions(_judged(status, known), known)
    if status.sale is not None:
        made["conditions"] += _of_unknown_books(status, known)
        made |= _sale(status.sale, known.said) | _proxies(status.proxies, known)
    if status.quota is not None:
        made |= {"limits": len(status.quota.limits)} | _proxies(status.proxies, known)
    return made


# ----------------------------------------------------------------------------------- conditions
def by_type(status: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Give the conditions of a status (or of a part of one) by their type."""
    return {str(one["type"]): one for one in items(status, "conditions") if "type" in one}


def items(status: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Give the objects of a list; none when there is no such list."""
    found = status.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _conditions(
    conditions: Iterable[Condition], known: Known, said: Mapping[str, Any] | None = None
) -> Body:
    """Write conditions; times stand as they are unless the status is another.

    What is said already of a newer generation, which we have not seen yet, is repeated. So is what
    stands there of proxies, as long as we may not know of all of them; of an older generation,
    too, as whoever waits does not take that for an answer.
    """
    before = by_type(known.said if said is None else said)
    made = []
    for condition in conditions:
        one: Body = condition.as_json()
        stands = before.get(condition.type, {})
        if not known.settled and _is_of_proxies(condition):
            made += [dict(stands)] if stands else []
            continue
        seen = stands.get("observedGeneration") or 0
        if condition.observed_generation < seen <= known.standing.generation:
            one = dict(stands)
        elif stands.get("status") == one["status"] and stands.get("lastTransitionTime"):
            one["lastTransitionTime"] = stands["lastTransitionTime"]
        made.append(one)
    return {"conditions": made}


def _is_of_proxies(condition: Condition) -> bool:
    """Whether a condition depends on how many proxies are known of."""
    if condition.type == "Programmed":
        return condition.reason in {"NoProxies", "Pending", "Programmed", "Rejected"}
    return condition.type == "Ready"


def _judged(status: ObjectStatus, known: Known) -> tuple[Condition, ...]:
    """The conditions, unless the newest version could not be read: then that is the news."""
    if not known.invalid:
        return status.conditions
    return (_invalid(known), *(one for one in status.conditions if one.type != "Accepted"))


def _invalid(known: Known) -> Condition:
    message = "; ".join(known.invalid)
    return Condition("Accepted", "False", "Invalid", message, known.standing.generation, known.now)


# --------------------------------------------------------------------------------- our own kinds
def _sale(sale: SaleStatus, said: Mapping[str, Any]) -> Body:
    """Write the numbers of a sale; as long as its books are unknown, those that stand there.

    A control plane that has just started must not say that nothing was sold.
    """
    state = sale.state.value
    if not sale.incarnation and "admitted" in said and "remaining" in said:
        if sale.state == SalePhase.OPEN and said.get("state") == SalePhase.SOLD_OUT.value:
            state = SalePhase.SOLD_OUT.value
        return {"state": state, "admitted": said["admitted"], "remaining": said["remaining"]}
    return {"state": state, "admitted": sale.admitted, "remaining": sale.remaining}


def _of_unknown_books(status: ObjectStatus, known: Known) -> list[Body]:
    """What stands there of books that are not known yet, of a sale that is in force."""
    sale, accepted = status.sale, status.condition("Accepted")
    if sale is None or sale.incarnation or sale.expired:
        return []
    if accepted is None or accepted.status != "True":
        return []
    stands = by_type(known.said)
    return [dict(stands[kind]) for kind in OF_BOOKS if kind in stands]


def _proxies(proxies: Proxies, known: Known) -> Body:
    if not known.settled:
        return {"proxies": known.said["proxies"]} if "proxies" in known.said else {}
    summary = f"{proxies.programmed}/{proxies.total}"
    return {"proxies": {**proxies.as_json(), "summary": summary}}


# ----------------------------------------------------------------------------------- Gateway API
def _gateway(status: ObjectStatus, known: Known) -> Body | None:
    gateway = known.inventory.find(status.ref)
    if not isinstance(gateway, Gateway) or not _ours(gateway, known):
        return None
    conditions = _judged(status, known)
    programmed = next((one for one in conditions if one.type == "Programmed"), None)
    if programmed is None:  # it has one from the start, as everybody who waits for it expects
        generation = status.generation
        message = "it is not accepted"
        programmed = Condition("Programmed", "False", "Invalid", message, generation, known.now)
        conditions = (*conditions, programmed)
    made = _conditions(conditions, known)
    listeners = {listener.name: listener for listener in gateway.spec.listeners}
    parts = [part for part in status.parts if part.listener in listeners]
    if parts:
        made["listeners"] = [
            _listener(part, listeners[part.listener], programmed, known) for part in parts
        ]
    if known.addresses:
        made["addresses"] = [dict(address) for address in known.addresses]
    return made


def _ours(gateway: Gateway, known: Known) -> bool:
    """Whether to speak of a gateway: of one without a class only if somebody has done so."""
    owner = known.inventory.get(GatewayClass, "", gateway.spec.gateway_class_name)
    if owner is not None:
        return owner.spec.controller_name == CONTROLLER_NAME
    return by_type(known.said).get("Accepted", {}).get("status") in {"True", "False"}


def _listener(part: PartStatus, listener: Listener, programmed: Condition, known: Known) -> Body:
    fault = next((one for one in part.conditions if _is_fault(one, part)), None)
    if fault is not None:
        message = f"left out: {fault.message}"
        generation = fault.observed_generation
        programmed = Condition("Programmed", "False", "Invalid", message, generation, known.now)
    said = next((one for one in items(known.said, "listeners") if _is(one, listener)), {})
    return {
        "name": listener.name,
        "supportedKinds": [one.as_json() for one in part.supported_kinds or ()],
        "attachedRoutes": part.attached_routes or 0,
        **_conditions((*part.conditions, programmed), known, said),
    }


def _is(said: Mapping[str, Any], listener: Listener) -> bool:
    return said.get("name") == listener.name


def _is_fault(condition: Condition, part: PartStatus) -> bool:
    """Whether a listener is left out for this; one that takes other routes still takes those."""
    if condition.reason == "InvalidRouteKinds" and part.supported_kinds:
        return False
    return condition.status == ("True" if condition.type == "Conflicted" else "False")


def _route(known: Known) -> Body | None:
    """Write what a route is to its parents: ours, between those of other controllers."""
    said = items(known.said, "parents")
    others = [dict(one) for one in said if one.get("controllerName") != CONTROLLER_NAME]
    before = _our_parents(said)
    ours: list[Body] = []
    for part in known.status.parts if known.status is not None else ():
        if part.parent is None:
            continue
        reference = _reference(part.parent)
        stands = next((one for one in before if one.get("parentRef") == reference), None)
        if stands is None and not _is_there(part.parent, known):
            continue  # whose gateway that will be, nobody knows
        ours.append(
            {
                "parentRef": reference,
                "controllerName": CONTROLLER_NAME,
                **_conditions(_of_parent(part, known), known, stands or {}),
            }
        )
    if not ours and not before:
        return None
    return {"parents": [*others, *ours]}


def _of_parent(part: PartStatus, known: Known) -> list[Condition]:
    made = list(part.conditions)
    whole = known.status.condition("Programmed") if known.status is not None else None
    accepted = any(one.type == "Accepted" and one.status == "True" for one in made)
    if whole is not None and accepted:
        made.append(whole)
    if known.invalid:
        # In the words of Gateway API: it begins with what was done about it.
        message = f"Fall Back: {'; '.join(known.invalid)}"
        generation = known.standing.generation
        made = [one for one in made if one.type != "PartiallyInvalid"]
        made.append(
            Condition(
                "PartiallyInvalid", "True", "UnsupportedValue", message, generation, known.now
            )
        )
    return made


def _reference(parent: ParentReference) -> Body:
    found: Body = parent.model_dump(by_alias=True, exclude_none=True)
    return found


def _is_there(parent: ParentReference, known: Known) -> bool:
    if known.status is None:
        return False
    namespace = parent.namespace or known.status.ref.namespace
    return known.inventory.get(Gateway, namespace, parent.name) is not None


# ------------------------------------------------------------------------------------ comparison
def differs(made: Body, said: Mapping[str, Any]) -> bool:
    """Whether a status has to be written: a field of ours is not as it should be."""
    return not all(
        _HOLDS[name](value, said) if name in _HOLDS else said.get(name) == value
        for name, value in made.items()
    )


def leftovers(made: Body, said: Mapping[str, Any]) -> bool:
    """Whether something stands there that we may have said, and say no more."""
    stale = by_type(said).keys() & OUR_CONDITIONS - by_type(made).keys()
    if "conditions" in made and stale:
        return True
    gone = {one.get("name") for one in items(said, "listeners")}
    gone -= {one.get("name") for one in items(made, "listeners")}
    return bool(gone) or ("addresses" in said and "addresses" not in made)


def numbers_only(made: Body, said: Mapping[str, Any]) -> bool:
    """Whether what has to be written differs in numbers and words alone, which can wait."""
    return not leftovers(made, said) and not differs(_bare(made), _bare(said))


def _bare(part: Any) -> Any:
    """Leave out numbers, and messages, in which there are numbers as well."""
    if isinstance(part, Mapping):
        return {name: _bare(one) for name, one in part.items() if name not in _NUMBERS}
    return [_bare(one) for one in part] if isinstance(part, list) else part


def _conditions_hold(value: Any, said: Mapping[str, Any]) -> bool:
    stands = by_type(said)
    return all(stands.get(one["type"]) == one for one in value)


def _listeners_hold(value: Any, said: Mapping[str, Any]) -> bool:
    stands = {one.get("name"): one for one in items(said, "listeners")}
    return all(
        (there := stands.get(one["name"])) is not None
        and not differs({key: one[key] for key in one if key != "name"}, there)
        for one in value
    )


def _parents_hold(value: Any, said: Mapping[str, Any]) -> bool:
    """Whether our entries stand; where they stand among those of others is all the same."""
    return _our_parents(value) == _our_parents(items(said, "parents"))


def _our_parents(parents: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in parents if one.get("controllerName") == CONTROLLER_NAME]


_HOLDS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], bool]]] = {
    "conditions": _conditions_hold,
    "listeners": _listeners_hold,
    "parents": _parents_hold,
}


def ours(made: Body, said: Mapping[str, Any]) -> Body:
    """Pick from a status what has the names of what we say: to see if somebody changed it."""
    return {name: said.get(name) for name in made}
