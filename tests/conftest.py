"""What holds for every test: servers as fixtures, and as many open connections as needed."""

from __future__ import annotations

import resource

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.testkit.fixtures"]


def pytest_configure() -> None:
    """Prepares this process before any test is collected."""
    _allow_many_connections()
    # How long an example takes says how busy the machine is, not whether the code is right.
    slow_is_fine = [HealthCheck.too_slow]
    settings.register_profile(
        "sluice", settings(), deadline=None, suppress_health_check=slow_is_fine
    )
    settings.load_profile("sluice")


def _allow_many_connections() -> None:
    """As many open files as the system allows: some tests need thousands of sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
