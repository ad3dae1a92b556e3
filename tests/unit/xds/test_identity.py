from __future__ import annotations

import pytest

from controlplane.xds.identity import identify, is_trust_domain

EDGE = "spiffe://cluster.local/ns/shop/gateway/edge"


def gateways(*uris: str, trust_domain: str = "cluster.local") -> set[str]:
    known = {"peer_uri": [uri.encode() for uri in uris]}
    return set(identify(known, trust_domain).gateways)


def test_a_certificate_names_gateways_by_uris() -> None:
    assert gateways(EDGE) == {"shop/edge"}
    assert gateways(EDGE, "spiffe://cluster.local/ns/a-1/gateway/b.c") == {"shop/edge", "a-1/b.c"}
    assert gateways(EDGE, "https://example.com/", "spiffe://cluster.local/ns/shop/sa/x") == {
        "shop/edge"
    }
    assert gateways(EDGE.replace("cluster.local", "eu"), trust_domain="eu") == {"shop/edge"}


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://other/ns/shop/gateway/edge",
        "spiffe://cluster.localhost/ns/shop/gateway/edge",
        "spiffe://x@cluster.local/ns/shop/gateway/edge",
        "spiffe://cluster.local:1/ns/shop/gateway/edge",
        "http://cluster.local/ns/shop/gateway/edge",
        f"{EDGE}/",
        f"{EDGE}/more",
        f"{EDGE}?a",
        f"{EDGE}#a",
        f"{EDGE}\n",
        f" {EDGE}",
        "spiffe://cluster.local/ns/shop/gateway/",
        "spiffe://cluster.local/ns//gateway/edge",
        "spiffe://cluster.local/ns/shop/gateway/*",
        "spiffe://cluster.local/ns/shop/gateway/ed%67e",
        "spiffe://cluster.local/ns/shop/gateway/Edge",
        "spiffe://cluster.local/ns/../ns/shop/gateway/edge",
        "spiffe://cluster.local",
        "",
        "\udcff",
    ],
)
def test_what_is_not_exactly_of_this_form_names_none(uri: str) -> None:
    known = {"peer_uri": [uri.encode(errors="surrogateescape")]}
    assert identify(known, "cluster.local").gateways == frozenset()


def test_names_of_other_types_count_for_nothing() -> None:
    """A DNS name may spell a URI, and the list of all names does not tell them apart."""
    spelled = [EDGE.encode()]
    known = {"peer_dns": spelled, "x509_subject_alternative_name": spelled}
    assert identify(known, "cluster.local").gateways == frozenset()


def test_the_objection_says_what_the_certificate_needs() -> None:
    identity = identify({"peer_uri": [EDGE.encode()]}, "cluster.local")
    assert identity.objection("shop/edge") == ""
    assert identity.objection("shop/other") == (
        f"the proxy asks for gateway 'shop/other', but its certificate names {EDGE}: "
        "it needs the URI SAN spiffe://cluster.local/ns/shop/gateway/other"
    )
    assert "names no URI" in identify({}, "cluster.local").objection("shop/edge")
    odd = identity.objection("x\n" * 10_000)
    assert len(odd) < 1500
    assert "\n" not in odd
    assert odd.endswith("spiffe://cluster.local/ns/NAMESPACE/gateway/NAME")
    many = identify({"peer_uri": [b"u" * 5000] * 9}, "cluster.local").objection("a/b")
    assert "and 6 more" in many
    assert len(many) < 1500


def test_trust_domains() -> None:
    assert is_trust_domain("cluster.local")
    for text in ("", "A", "a/b", "a:1", "spiffe://a", "a" * 256):
        assert not is_trust_domain(text)
