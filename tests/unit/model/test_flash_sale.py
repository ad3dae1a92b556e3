"""What a sale means: effective limits, answers, names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.model import OUTCOMES, FlashSale, Invalid, Outcome
from tests.unit.model.sales import sale


def test_the_limit_is_the_stock_unless_permits_say_otherwise() -> None:
    assert sale(stock=7).limit == 7
    assert sale(stock=7, admission={"maxPermits": 9}).limit == 9
    assert sale(stock=7, admission={"maxPermits": 2}).limit == 2


def test_a_sale_is_named_in_data_by_namespace_name_and_epoch() -> None:
    assert sale().sale == "shop/laptop"
    assert sale().books == "shop/laptop/1"
    assert sale(epoch="second-try").books == "shop/laptop/second-try"
    assert str(sale().ref) == "FlashSale shop/laptop"


@pytest.mark.parametrize(
    ("admission", "expected"),
    [
        ({}, timedelta(seconds=60)),
        ({"redrawInterval": "0s"}, timedelta(0)),
        ({"redrawInterval": "5s"}, timedelta(seconds=5)),
        ({"draw": "PerRequest"}, timedelta(0)),
    ],
)
def test_a_round_has_a_length_only_for_draws_per_user(
    admission: dict[str, Any], expected: timedelta
) -> None:
    assert sale(admission=admission).spec.admission.redraw == expected


@pytest.mark.parametrize(
    ("identity", "source"),
    [
        ({"header": "X-User"}, "header"),
        ({"cookie": "uid"}, "cookie"),
        ({"clientAddress": {}}, "clientAddress"),
    ],
)
def test_an_identity_has_one_source(identity: dict[str, Any], source: str) -> None:
    assert sale(identity=identity).spec.identity.source == source


def test_a_pass_is_handed_out_only_on_wish() -> None:
    assert sale().pass_cookie is None
    assert sale(pass_={"cookieName": "mine"}).pass_cookie == "mine"


def test_the_pass_of_each_sale_has_a_name_of_its_own() -> None:
    assert sale(pass_={}).pass_cookie == "sluice-pass-shop-laptop"
    assert sale("laptop.v2", pass_={}).pass_cookie == "sluice-pass-shop-laptop-v2"
    long = [sale("x" * 200 + end, pass_={}).pass_cookie for end in "ab"]
    assert len(set(long)) == 2
    assert all(name is not None and len(name) <= 64 for name in long)


def test_the_default_name_of_a_pass_must_not_hide_the_identity_either() -> None:
    with pytest.raises(Invalid, match=r"spec\.pass.*would overwrite"):
        sale(identity={"cookie": "sluice-pass-shop-laptop"}, pass_={})


def test_no_refusal_looks_like_a_sale_by_default() -> None:
    statuses = {outcome: sale().response(outcome).status for outcome in OUTCOMES}

    assert statuses == {
        "notStarted": 503,
        "ended": 410,
        "soldOut": 410,
        "blocked": 503,
        "throttled": 429,
        "denied": 403,
        "unidentified": 401,
        "unavailable": 503,
        "suspended": 503,
    }


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_default_answer_is_short_text_that_no_cache_keeps(outcome: Outcome) -> None:
    answer = sale().response(outcome)

    assert answer.headers[:2] == (
        ("cache-control", "no-store"),
        ("content-type", "text/plain; charset=utf-8"),
    )
    assert answer.body.endswith(".\n")


def test_retry_after_is_promised_only_where_trying_again_can_help() -> None:
    def promised(made: FlashSale) -> set[str]:
        return {outcome for outcome in OUTCOMES if made.response(outcome).retry_after}

    always = {"notStarted", "throttled", "unavailable"}
    assert promised(sale()) == {*always, "blocked"}
    assert promised(sale(admission={"draw": "PerRequest"})) == always
    assert promised(sale(admission={"redrawInterval": "0s"})) == always


def test_a_draw_that_is_final_says_so() -> None:
    answer = sale(admission={"redrawInterval": "0s"}).response("blocked")

    assert answer.status == 403


@pytest.mark.parametrize(
    ("identity", "challenge"),
    [
        ({"header": "authorization"}, 'Bearer realm="shop/laptop"'),
        ({"header": "X-User"}, 'Header realm="shop/laptop"'),
        ({"cookie": "uid"}, 'Cookie realm="shop/laptop"'),
    ],
)
def test_a_401_carries_a_challenge(identity: dict[str, Any], challenge: str) -> None:
    headers = dict(sale(identity=identity).response("unidentified").headers)

    assert headers["www-authenticate"] == challenge


def test_a_redirect_is_a_302_without_a_body() -> None:
    answer = sale(responses={"soldOut": {"redirect": "/gone"}}).response("soldOut")

    assert (answer.status, answer.body) == (302, "")
    assert answer.headers == (("cache-control", "no-store"), ("location", "/gone"))
    assert not answer.retry_after


def test_a_redirect_may_have_another_status() -> None:
    answer = sale(responses={"blocked": {"redirect": "/", "status": 303}}).response("blocked")

    assert answer.status == 303
    assert not answer.retry_after


def test_given_headers_replace_defaults_of_the_same_name() -> None:
    headers = [
        {"name": "Content-Type", "value": "text/html"},
        {"name": "Set-Cookie", "value": "a=1"},
        {"name": "Set-Cookie", "value": "b=2"},
        {"name": "Retry-After", "value": "9"},
    ]
    answer = sale(responses={"notStarted": {"headers": headers, "body": "<p>"}}).response(
        "notStarted"
    )

    assert answer.headers == (
        ("cache-control", "no-store"),
        ("content-type", "text/html"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("retry-after", "9"),
    )
    assert answer.body == "<p>"
    assert not answer.retry_after


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body_has_none(status: int) -> None:
    answer = sale(responses={"ended": {"status": status}}).response("ended")

    assert answer.body == ""
    assert answer.headers == (("cache-control", "no-store"),)


def test_an_empty_body_is_a_body() -> None:
    assert sale(responses={"ended": {"body": ""}}).response("ended").body == ""


def test_a_sale_cannot_be_changed() -> None:
    made = sale()

    with pytest.raises(ValueError, match="frozen"):
        made.spec.__setattr__("stock", 9)
    assert made == sale()
