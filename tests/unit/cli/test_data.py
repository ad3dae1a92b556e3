"""Users as YAML: what is printed is accepted, and what cannot be meant is refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from controlplane.cli.data import read_entries, yaml_entry
from controlplane.cli.errors import CommandError

SALE = "shop/laptop"
HEX = "0123456789abcdef" * 2


def read(text: str) -> list[dict[str, Any]]:
    return read_entries(io.StringIO(text), SALE)


@given(user=st.text(min_size=1, max_size=60), number=st.integers(1, 10**9))
def test_what_is_listed_is_accepted_unchanged(user: str, number: int) -> None:
    listed = yaml_entry({"user": user, "number": number, "how": "admitted", "order": 1})
    assert "\n" not in listed
    text = f'sale: "{SALE}"\nusers:\n{listed}\n'
    assert yaml.safe_load(text)["users"][0]["number"] == number
    assert read(text) == [{"user": user}]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("users:\n- {id: Bearer alice}\n", [{"id": "Bearer alice"}]),
        (f"- {{user: '{HEX}'}}\n- bob\n", [{"user": HEX}, {"id": "bob"}]),
        ("users: []\n", []),
        ("{sale: shop/laptop, users: [{id: a, how: granted, number: 1, order: 4}]}", [{"id": "a"}]),
    ],
)
def test_what_is_accepted(text: str, entries: list[dict[str, str]]) -> None:
    assert read(text) == entries


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no users given"),
        ("users:\n", "no users given"),
        ("users: alice", "must be a list"),
        ("a: b", "unknown field 'a'"),
        ("{sale: shop/phone, users: []}", "these are users of shop/phone, not of shop/laptop"),
        (f"- {HEX}x\n- {HEX}", "users[1]: 0123456789abcdef0123456789abcdef may be a raw id or a h"),
        ("- 17", "users[0] must be"),
        ("- {name: alice}", "users[0]: unknown field 'name'"),
        ("users: [", "the users are no YAML: line"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(CommandError) as error:
        read(text)
    assert told in error.value.format_message()
