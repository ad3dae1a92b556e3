"""What holds for every test: servers as fixtures, and as many open connections as needed."""

from __future__ import annotations

import resource

pytest_plugins = ["tests.testkit.fixtures"]


def pytest_configure() -> None:
    """Allows as many open files as the system does: some tests need thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
