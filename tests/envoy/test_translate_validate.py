"""Envoy's own judgement of everything that is pinned, and of expressions at the edge of RE2."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from controlplane.local.envoy_process import find_envoy
from controlplane.model import HTTPRoute, Inventory
from controlplane.model.route import PathMatch
from controlplane.translate import bootstrap, translate
from controlplane.translate.expressions import fault
from tests.contract.envoy.golden import BOOTSTRAP, CASES, PARAMETERS, translated
from tests.contract.envoy.manifests import gateway, listener, match, route, text
from tests.contract.envoy.proxy import GATEWAY, built_filters, inventory, options
from tests.contract.envoy.static import static_bootstrap

pytestmark = pytest.mark.envoy

AUTHORITIES = CASES.parent / "tls" / "shop.example.com.crt"


async def judged(document: dict[str, Any] | str, folder: Path) -> str:
    """What Envoy says against a configuration; nothing when it takes it."""
    path = folder / "envoy.yaml"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        *(str(find_envoy()), "--mode", "validate", "--config-path", str(path)),
        *("--disable-hot-restart", "--log-level", "error"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SLUICE_REDIS_PASSWORD": "secret"},
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return "" if process.returncode == 0 else output.decode()[-2000:]


def usable(value: Any) -> Any:
    """The same with files that are on this machine."""
    if isinstance(value, list):
        return [usable(item) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("filename")
    if name == "/etc/sluice/ca.pem":
        return {"filename": str(AUTHORITIES)}
    if isinstance(name, str) and name.startswith("/var/lib/sluice/"):
        built = built_filters()
        codes = (built.flash_sale, built.quota, built.redis_bridge)
        path = next(code.path for code in codes if Path(code.path).stem in name)
        return {"filename": path}
    return {key: usable(item) for key, item in value.items()}


@pytest.mark.parametrize(
    "case",
    sorted(path for folder in (CASES, *PARAMETERS.values()) for path in folder.glob("*.yaml")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
async def test_envoy_takes_what_is_pinned(case: Path, tmp_path: Path) -> None:
    made = translated(case, options(environment=frozenset({"SLUICE_REDIS_PASSWORD"})))
    document = usable(static_bootstrap(made.snapshots[GATEWAY]))
    assert not await judged(document, tmp_path)


async def test_envoy_takes_the_bootstrap(tmp_path: Path) -> None:
    assert not await judged(BOOTSTRAP.read_text(), tmp_path)
    assert not await judged(bootstrap(), tmp_path)


TAKEN = r"""
a  /[0-9]+  (?i)x  (?i:x)y  (?s-m:.)  (?P<n>a)  a{1000}  ((a{10}b){10}){10}(c{1000})  a+?  a{2}?b*?
[[:alpha:]]+  \pL  \x{FF}  a\++  [+*?]+  []+*]  \\u  \bword\b  a\{2000}  [(]{20}
"""
REFUSED = r"""
a{1001}  ((a{10}b){11}){10}  (?x)ab  (?R)a  (?i-x:a)  \u0061  \x{100}  a++  a{2}{3}
"""


def unchecked(expressions: list[str]) -> Inventory:
    """A route for each expression, put past the checks of the model."""
    found = inventory(text(gateway(listener(80)), route("r", {"matches": [match("/")]})))
    template = found.get(HTTPRoute, "shop", "r")
    assert template is not None
    rule = template.spec.rules[0]
    matches = tuple(
        rule.matches[0].model_copy(
            update={"path": PathMatch.model_construct(type="RegularExpression", value=expression)}
        )
        for expression in expressions
    )
    spec = template.spec.model_copy(
        update={"rules": (rule.model_copy(update={"matches": matches}),)}
    )
    return found.with_(template.model_copy(update={"spec": spec}))


async def test_envoy_agrees_about_expressions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(map(fault, TAKEN.split()))
    assert all(map(fault, REFUSED.split()))
    found = translate(unchecked(TAKEN.split()), options())
    assert not await judged(static_bootstrap(found.snapshots[GATEWAY]), tmp_path)
    monkeypatch.setattr("controlplane.translate.expressions.fault", lambda _: "")
    for expression in REFUSED.split():
        found = translate(unchecked([expression]), options())
        said = await judged(static_bootstrap(found.snapshots[GATEWAY]), tmp_path)
        assert said, expression
