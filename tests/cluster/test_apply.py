from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controlplane.kube import ConflictError, NotFoundError, apply, apply_status
from tests.cluster.widgets import WIDGETS, install_widgets, widget

if TYPE_CHECKING:
    from controlplane.kube import Object, Session
    from tests.cluster.api_server import ApiServer

pytestmark = pytest.mark.cluster


@pytest.fixture
async def made(shared_api_server: ApiServer, session: Session, namespace: str) -> Object:
    await install_widgets(shared_api_server)
    return await session.create(WIDGETS, widget("one", namespace, size=1))


def _condition(kind: str, status: str = "True", reason: str = "Ours") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": ""}


async def test_conditions_of_others_stay(session: Session, namespace: str, made: Object) -> None:
    theirs = _condition("Foreign", reason="Theirs")
    made["status"] = {"conditions": [theirs]}
    await session.replace(WIDGETS, made, "status")
    key = (namespace, "one")
    await apply_status(
        session, WIDGETS, key, {"state": "Open", "conditions": [_condition("Ready")]}
    )
    changed = {"conditions": [_condition("Ready", "False"), _condition("Accepted")]}
    after = await apply_status(session, WIDGETS, key, changed)
    found = {one["type"]: one for one in after["status"]["conditions"]}
    assert found == {
        "Foreign": theirs,
        "Ready": _condition("Ready", "False"),
        "Accepted": _condition("Accepted"),
    }
    assert "state" not in after["status"], "a field that is left out is given up"
    assert after["spec"] == {"size": 1}
    assert after["metadata"]["generation"] == 1


async def test_a_field_that_another_took_is_taken_back(
    session: Session, namespace: str, made: Object
) -> None:
    key = (namespace, "one")
    await apply_status(session, WIDGETS, key, {"state": "Open"})
    other = {"state": "Stolen"}
    await apply_status(session, WIDGETS, key, other, field_manager="another")
    after = await apply_status(session, WIDGETS, key, {"state": "Open"})
    assert after["status"] == {"state": "Open"}
    assert made["metadata"]["uid"] == after["metadata"]["uid"]


async def test_the_same_again_changes_nothing(
    session: Session, namespace: str, made: Object
) -> None:
    key = (namespace, "one")
    first = await apply_status(session, WIDGETS, key, {"state": "Open"})
    again = await apply_status(session, WIDGETS, key, {"state": "Open"})
    assert made["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


async def test_status_is_for_the_object_that_was_meant(
    session: Session, namespace: str, made: Object
) -> None:
    key = (namespace, "one")
    version = made["metadata"]["resourceVersion"]
    await session.delete(WIDGETS, "one", namespace)
    with pytest.raises(NotFoundError):
        await apply_status(session, WIDGETS, key, {"state": "Open"})
    await session.create(WIDGETS, widget("one", namespace))
    with pytest.raises(ConflictError):
        await apply_status(session, WIDGETS, key, {"state": "Open"}, resource_version=version)
    uid = made["metadata"]["uid"]
    with pytest.raises(ConflictError, match="another object"):
        await apply_status(session, WIDGETS, key, {"state": "Open"}, uid=uid)
    new = await session.get(WIDGETS, "one", namespace)
    uid, version = new["metadata"]["uid"], new["metadata"]["resourceVersion"]
    status = {"state": "Open", "conditions": [_condition("Ready")]}
    await apply_status(session, WIDGETS, key, status, uid=uid, resource_version=version)
    with pytest.raises(ConflictError):
        await apply_status(session, WIDGETS, key, {"state": "Old"}, resource_version=version)


async def test_apply_makes_an_object_and_changes_only_its_own_fields(
    shared_api_server: ApiServer, session: Session, namespace: str
) -> None:
    await install_widgets(shared_api_server)
    await apply(session, WIDGETS, widget("two", namespace, size=1))
    await session.patch(WIDGETS, "two", namespace, body={"spec": {"text": "theirs"}})
    after = await apply(session, WIDGETS, widget("two", namespace, size=2))
    assert after["spec"] == {"size": 2, "text": "theirs"}
