"""YAML is read with the line of every field, by the core schema, and within bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from controlplane.sources.documents import (
    MAX_BYTES,
    MAX_DEPTH,
    Document,
    UnreadableError,
    read_documents,
)
from controlplane.sources.loading import assemble, digest_file
from controlplane.sources.scalars import is_ambiguous, read_plain


def one(text: str) -> Document:
    (document,) = read_documents(text.encode(), "a.yaml")
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("tRuE", "tRuE"),
        ("0", 0),
        ("-17", -17),
        ("+17", 17),
        ("0o17", 15),
        ("0xff", 255),
        ("017", "017"),
        ("1_000", "1_000"),
        ("22:30", "22:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("1" * 5000, "1" * 5000),
        ("٣", "٣"),
    ],
)
def test_an_unquoted_word_means_what_the_core_schema_says(text: str, value: Any) -> None:
    read = read_plain(text)

    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(float(read_plain(".nan") or 0))


@pytest.mark.parametrize("text", ["no", "On", "YES", "off", "0777", "-01", "1_000"])
def test_words_that_kubectl_reads_otherwise_are_told(text: str) -> None:
    (remark,) = one(f"a: [b, {text}]").remarks

    assert (remark.path, remark.severity) == (("a", 1), "warning")
    assert is_ambiguous(text)
    assert not one(f"a: ['{text}']").remarks


def test_every_field_knows_its_line() -> None:
    document = one(
        "# a comment\n"
        "a:\n"
        "  b:\n"
        "  - 1\n"
        "  - c: >\n"
        "      long\n"
        "      text\n"
        "    d: {e: 1,\n"
        "        f: 2}\n"
    )

    assert document.value == {"a": {"b": [1, {"c": "long text\n", "d": {"e": 1, "f": 2}}]}}
    lines = {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 4,
        ("a", "b", 1): 5,
        ("a", "b", 1, "c"): 5,
        ("a", "b", 1, "d"): 8,
        ("a", "b", 1, "d", "f"): 9,
        ("a", "b", 7, "nowhere"): 3,
    }
    assert {path: document.location.line(path) for path in lines} == lines


def test_lines_go_on_counting_through_documents() -> None:
    documents = read_documents(b"a: 1\n---\n---\n# nothing\n---\nb: 2\n...\n", "a.yaml")

    assert [(item.value, item.location.line()) for item in documents] == [
        ({"a": 1}, 1),
        ({"b": 2}, 6),
    ]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_text(start: str) -> None:
    assert one(f"{start}a: ü").value == {"a": "ü"}


def test_keys_are_text() -> None:
    assert one("{1: a, true: b, null: c, '': d}").value == {
        "1": "a",
        "true": "b",
        "null": "c",
        "": "d",
    }


def test_tags_of_plain_values_are_read() -> None:
    text = "{a: !!str 5, b: !!int 5, c: !!float 5, d: !!null ~, e: ! 5, f: !!seq [], g: !!map {}}"
    document = one(text)

    assert document.value == {"a": "5", "b": 5, "c": 5, "d": None, "e": "5", "f": [], "g": {}}
    assert not document.remarks


def test_aliases_and_merge_keys_are_followed() -> None:
    document = one(
        "base: &base {a: 1, b: 2}\n"
        "more: &more {b: 3, c: 4}\n"
        "same: *base\n"
        "one:\n"
        "  <<: *base\n"
        "  b: 9\n"
        "both: {<<: [*base, *more], d: 5}\n"
        "quoted: {'<<': 1}\n"
    )

    assert document.value["same"] == {"a": 1, "b": 2}
    assert document.value["one"] == {"a": 1, "b": 9}
    assert document.value["both"] == {"a": 1, "b": 2, "c": 4, "d": 5}
    assert document.value["quoted"] == {"<<": 1}
    assert document.location.line(("one", "a")) == 1
    assert document.location.line(("one", "b")) == 6
    assert not document.remarks


def test_what_cannot_be_merged_is_told() -> None:
    (remark,) = one("a: 1\nb: {<<: text}").remarks

    assert (remark.path, remark.line) == (("b", "<<"), 2)


def test_aliases_cannot_multiply() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )

    with pytest.raises(UnreadableError, match="holds more than"):
        read_documents(bomb.encode(), "a.yaml")


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "*a : 1", "&k k: 1\n*k : 2"])
def test_aliases_cannot_be_circular_or_keys(text: str) -> None:
    with pytest.raises(UnreadableError, match="uses an alias"):
        read_documents(text.encode(), "a.yaml")


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_depth_is_bounded(start: str, end: str) -> None:
    good = start * MAX_DEPTH + "1" + end * MAX_DEPTH
    assert one(good).value
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(UnreadableError, match="levels deep"):
            read_documents((start * depth).encode() + b"1", "a.yaml")


def test_size_is_bounded() -> None:
    with pytest.raises(UnreadableError, match="split the file"):
        read_documents(b"#" * (MAX_BYTES + 1), "a.yaml")


def test_a_loader_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x {b: no, c: [1, 2.5, ~]}\nd: *x\n---\n- <<: {k: v}\n  b: 'q'\n"
    with_libyaml = read_documents(text.encode(), "a.yaml")
    monkeypatch.setattr("controlplane.sources.documents._LOADER", yaml.SafeLoader)

    assert read_documents(text.encode(), "a.yaml") == with_libyaml


def quoted(text: str) -> bool:
    """Whether PyYAML quotes what is no text here: of numbers with an exponent it wants a dot."""
    return isinstance(read_plain(text), str) or not yaml.safe_dump(text).startswith(text)


TEXT = st.text(max_size=9).filter(quoted)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def test_a_number_without_a_dot_is_a_number_as_for_kubectl() -> None:
    assert not quoted("0E0")
    assert read_documents(b"0E0", "a.yaml")[0].value == 0.0


@given(PLAIN)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    text = yaml.safe_dump(value)
    documents = read_documents(text.encode(), "a.yaml")

    assert [item.value for item in documents] == ([] if value is None else [value])


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    assemble([digest_file("a.yaml", content)])


WORDS = st.one_of(
    st.sampled_from(list("-:,[]{}&*?|>'\"#%@`!~\n\t\r\x00\x85é1b")),
    st.sampled_from(["---", "...", "&a", "*a", "!!", "!x", "<<:", "a:", "%YAML", "items:"]),
    st.sampled_from(["apiVersion: v1", "kind: List", "kind: Service", "metadata:", "name:"]),
    st.sampled_from(["apiVersion: sluice.dev/v1alpha1", "kind: FlashSale", "spec:"]),
)


@given(st.lists(WORDS, max_size=40), st.sampled_from(["", " ", "\n", "\n  "]))
def test_no_yaml_breaks_the_reader(words: list[str], between: str) -> None:
    update = assemble([digest_file("a.yaml", between.join(words).encode())])

    assert all(str(problem) for problem in update.problems)
