"""Where objects come from: files on this machine, read once or watched."""

from __future__ import annotations

from controlplane.sources.directory import Directory
from controlplane.sources.loading import Update, load

__all__ = ["Directory", "Update", "load"]
