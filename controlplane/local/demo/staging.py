"""A sample on its ground: what is written there before it starts, and when its sales start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import yaml

from controlplane.local.demo import samples
from controlplane.local.demo.place import Scene

if TYPE_CHECKING:
    from controlplane.local.demo.ground import Ground
    from controlplane.local.demo.place import Place

_LATER: Final = timedelta(hours=1)
"""Until everything is up, its sales start so late: longer than any machine takes."""


class Sample:
    """One of the samples. LocalError when it cannot be read."""

    def __init__(self, name: str, path: str = "") -> None:
        self.name = name
        self._text = samples.read(name)
        self.scene = Scene(self._manifests, path=path, replica=_replicated(self._text))

    def start(self, ground: Ground, start: datetime) -> None:
        """Move its sales, if it has any, to begin then."""
        ground.write(self._file, samples.adapt(self.name, self._text, ground.place, start))

    @property
    def _file(self) -> str:
        return f"{self.name}.yaml"

    def _manifests(self, place: Place) -> dict[str, str]:
        start = datetime.now(UTC) + _LATER
        return {self._file: samples.adapt(self.name, self._text, place, start)}


def _replicated(text: str) -> bool:
    """Whether a sale counts a permit only once a replica of Redis has it."""
    specs: list[dict[str, Any]] = [one.get("spec", {}) for one in yaml.safe_load_all(text)]
    return any(spec.get("durability") == "Replicated" for spec in specs)
