"""Which proxies run an object, over all replicas: each proxy once, and never by what is old."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from controlplane.model import ObjectRef
from controlplane.status.objects import Proxies
from controlplane.status.programmed import count, programmed
from controlplane.status.replica_report import ReplicaReport, ReportedGateway, ReportedProxy
from controlplane.status.replicas import Fleet, fleet, own_gateways
from controlplane.xds.status import Delivery, Nack, ProxyState
from tests.unit.status.facts import Scene, books, summary

if TYPE_CHECKING:
    from collections.abc import Mapping

EDGE, OTHER = "shop/edge", "shop/other"
SALE = ObjectRef("FlashSale", "shop", "laptop")
NAME = str(SALE)
TAKEN = ("u", 3)
KEYS = ((EDGE, "ecds", "flash-sale"), (EDGE, "rds", "shop"))


def here(node: str, at: float = 0.0, gateway: str = EDGE, workers: int = 1) -> ProxyState:
    return ProxyState(node, gateway, datetime.fromtimestamp(at, UTC), workers)


def there(node: str, at: float = 0.0, *behind: str, **fields: Any) -> ReportedProxy:
    return ReportedProxy(node, at, behind=frozenset(behind), **fields)


def report(
    replica: str, *proxies: ReportedProxy, gateway: str = EDGE, **objects: tuple[str, int]
) -> ReplicaReport:
    known = {f"FlashSale shop/{name}": taken for name, taken in objects.items()}
    return ReplicaReport(replica, gateways={gateway: ReportedGateway(known, proxies)})


def deliver(total: int = 0, lacking: Mapping[str, set[str]] | None = None, **refused: str) -> Any:
    """So many proxies of ours, of which some lack some resource."""
    nacks = {node: Nack("v", words) for node, words in refused.items()}

    def one(_: str, type_url: str, __: str) -> Delivery:
        return Delivery("v", total, frozenset((lacking or {}).get(type_url, ())), nacks)

    return one


def counted(found: Fleet, own: Any = None) -> tuple[Proxies, dict[str, str]]:
    return count(SALE, TAKEN, KEYS, own or deliver(), found)


# ------------------------------------------------------------------------------------- counting
def test_one_that_lacks_any_resource_does_not_run_it() -> None:
    lacking = {"ecds": {"a"}, "rds": {"b"}}
    assert counted(Fleet(), deliver(3, lacking)) == (Proxies(1, 3), {})


def test_those_of_others_are_added() -> None:
    found = fleet((), [report("b", there("b-1"), there("b-2", 0, NAME), laptop=TAKEN)])
    assert counted(found, deliver(2)) == (Proxies(3, 4), {})


@pytest.mark.parametrize(
    ("taken", "expected"),
    [(("u", 3), 1), (("u", 4), 1), (("u", 2), 0), (("other", 3), 0), (None, 0)],
)
def test_what_the_other_replica_has_not_taken_in_is_not_in_force_there(
    taken: tuple[str, int] | None, expected: int
) -> None:
    other = report("b", there("b-1"), laptop=taken) if taken else report("b", there("b-1"))
    found = fleet((), [other])
    assert counted(found, deliver(1))[0] == Proxies(1 + expected, 2)


def test_other_gateways_have_no_part_in_it() -> None:
    found = fleet((), [report("b", there("b-1"), gateway=OTHER, laptop=TAKEN)])
    assert counted(found, deliver(1))[0] == Proxies(1, 1)


def test_what_was_said_of_a_gateway_that_the_object_is_not_in_there_does_not_count() -> None:
    gateways = {
        EDGE: ReportedGateway({}, (there("b-1"),)),
        OTHER: ReportedGateway({NAME: TAKEN}, (there("b-2"),)),
    }
    found = fleet((), [ReplicaReport("b", gateways=gateways)])
    assert counted(found, deliver(1))[0] == Proxies(1, 2)


# --------------------------------------------------------------------------------- moved proxies
@pytest.mark.parametrize(("at", "expected"), [(5.0, Proxies(1, 2)), (15.0, Proxies(2, 2))])
def test_one_that_moved_counts_where_it_came_last(at: float, expected: Proxies) -> None:
    # Ours lacks it; at the other replica it has it.
    found = fleet([here("x", 10.0), here("y", 10.0)], [report("b", there("x", at), laptop=TAKEN)])
    assert counted(found, deliver(2, {"rds": {"x"}}))[0] == expected


def test_one_in_two_reports_counts_once() -> None:
    reports = [
        report("b", there("x", 1.0), there("b-1"), laptop=TAKEN),
        report("c", there("x", 2.0, NAME), laptop=TAKEN),
    ]
    for order in (reports, reports[::-1]):
        assert counted(fleet((), order), deliver(1))[0] == Proxies(2, 3)


def test_of_two_that_came_at_once_it_is_ours_or_the_same_for_everybody() -> None:
    both = [report(name, there("x", 1.0), laptop=TAKEN) for name in ("b", "c")]
    assert [*fleet([here("x", 1.0)], both).elsewhere] == []
    for order in (both, both[::-1]):
        [one] = fleet((), order).elsewhere[EDGE]
        assert one.replica == "b"


NODES = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3))


@given(NODES, st.dictionaries(st.sampled_from("bcd"), NODES))
def test_each_counts_once_and_where_it_came_last(
    own: dict[str, int], others: dict[str, dict[str, int]]
) -> None:
    reports = [
        report(name, *(there(node, at) for node, at in nodes.items()), laptop=TAKEN)
        for name, nodes in others.items()
    ]
    found = fleet([here(node, at) for node, at in own.items()], reports)
    everybody = {*own, *(node for nodes in others.values() for node in nodes)}
    assert counted(found, deliver(len(own)))[0] == Proxies(len(everybody), len(everybody))
    for one in found.elsewhere.get(EDGE, ()):
        for proxy in one.proxies:
            times = [nodes[proxy.node] for nodes in others.values() if proxy.node in nodes]
            assert proxy.since == max(times)
            assert own.get(proxy.node, -1) < proxy.since


def test_the_same_name_at_two_gateways_is_two_proxies() -> None:
    found = fleet([here("x", 1.0)], [report("b", there("x", 9.0), gateway=OTHER)])
    assert found.moved.get(EDGE, frozenset()) == frozenset()
    assert counted(found, deliver(1))[0] == Proxies(1, 1)


def test_each_proxy_is_told_of_once_where_it_counts() -> None:
    own = [here("x", 1.0, workers=2), here("y", workers=4)]
    found = fleet(own, [report("b", there("x", 9.0, workers=2), there("z", workers=8))])
    everybody = sorted((one.node, one.since, one.workers) for _, one in found.everybody(own))
    assert everybody == [("x", 9.0, 2), ("y", 0.0, 4), ("z", 0.0, 8)]


# -------------------------------------------------------------------------------------- refusals
def test_a_refusal_elsewhere_is_told_with_the_proxys_words() -> None:
    refusing = there("b-1", 0, NAME, refused=((frozenset({NAME}), "unknown field"),))
    found = fleet((), [report("b", refusing, there("b-2"), laptop=TAKEN)])
    proxies, refused = counted(found, deliver(1))
    condition = programmed(proxies, refused, 3, found)
    assert (condition.status, condition.reason) == ("False", "Rejected")
    assert condition.message == "2 of 3 proxies; b-1 refuses it: unknown field"


@pytest.mark.parametrize("taken", [("u", 2), ("u", 4), ("other", 3)])
def test_a_refusal_of_another_edit_is_none_of_this(taken: tuple[str, int]) -> None:
    refusing = there("b-1", 0, NAME, refused=((frozenset({NAME}), "no"),))
    assert counted(fleet((), [report("b", refusing, laptop=taken)]), deliver(1))[1] == {}


def test_what_one_refused_here_before_it_moved_is_over() -> None:
    found = fleet((), [report("b", there("x"), laptop=TAKEN)])
    assert counted(found, deliver(1, x="no"))[1] == {}
    assert counted(Fleet(), deliver(1, x="no"))[1] == {"x": "no"}


# ------------------------------------------------------------------------ what is not known of all
def test_without_the_others_it_says_of_whom_it_speaks() -> None:
    alone = Fleet(alone="cannot list configmaps")
    assert programmed(Proxies(2, 2), {}, 1, alone).message == "2 of 2 proxies of this replica"
    assert programmed(Proxies(2, 2), {}, 1, alone).status == "True"
    none = programmed(Proxies(), {}, 1, alone)
    assert (none.reason, none.message) == ("NoProxies", "no proxy is connected to this replica")


def test_it_is_not_said_of_all_while_some_are_not_known() -> None:
    found = fleet((), (), unread=("the report x cannot be read: why",))
    condition = programmed(Proxies(2, 2), {}, 1, found)
    assert (condition.status, condition.reason) == ("False", "Pending")
    assert condition.message == "2 of 2 proxies; the report x cannot be read: why"


def test_the_tracker_counts_them() -> None:
    scene = Scene()
    sale = scene.observe(books())
    resource = scene.facts.inventory.find(SALE)
    assert resource is not None
    taken = (resource.metadata.uid, resource.metadata.generation)
    late = fleet((), [report("b", there("b-1"), there("b-2", 0, NAME), laptop=taken)])
    sale = scene.observe(books(), fleet=late)
    assert (sale.proxies.programmed, sale.proxies.total) == (3, 4)
    assert summary(sale.conditions)["Programmed"] == "False/Pending"
    assert sale.condition("Programmed").message == "3 of 4 proxies"
    done = fleet((), [report("b", there("b-1"), there("b-2"), laptop=taken)])
    assert summary(scene.observe(books(), fleet=done).conditions)["Programmed"] == "True"


# --------------------------------------------------------------------------------- what we report
def test_our_own_report_says_who_lacks_what() -> None:
    scene = Scene()
    facts = scene.facts
    lacking = {key[1]: {"a"} for key in facts.report.resources(SALE)[:1]}
    own = [here("a", 1.5, workers=2), here("b"), here("z", gateway="no/such")]
    made = own_gateways(own, facts.report, facts.inventory, deliver(2, lacking, a="I do not"))
    assert made.keys() == {EDGE, "no/such"}
    assert made["no/such"].objects == {}
    edge = made[EDGE]
    assert edge.objects.keys() == {NAME, "Gateway shop/edge", "HTTPRoute shop/shop"}
    a, b = edge.proxies
    assert (a.node, a.since, a.workers) == ("a", 1.5, 2)
    assert NAME in a.behind
    assert b.behind == frozenset()
    assert {words for _, words in a.refused} == {"I do not"}
    assert NAME in frozenset[str]().union(*(refs for refs, _ in a.refused))
    # Whoever reads it comes to the same as whoever wrote it.
    taken = edge.objects[NAME]
    keys = facts.report.resources(SALE)
    others = fleet((), [ReplicaReport("b", gateways=made)])
    seen, _ = count(SALE, taken, keys, deliver(0), others)
    ours, _ = count(SALE, taken, keys, deliver(2, lacking))
    assert seen == ours == Proxies(1, 2)


def test_proxies_that_lack_the_same_share_one_list() -> None:
    facts = Scene().facts
    own = [dataclasses.replace(here(f"p-{n}")) for n in range(4)]
    everybody = {key[1]: {one.node_id for one in own} for key in facts.report.owners}
    edge = own_gateways(own, facts.report, facts.inventory, deliver(4, everybody))[EDGE]
    assert len({id(one.behind) for one in edge.proxies}) == 1
