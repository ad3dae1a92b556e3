"""Becomes another program that ends when its starter does, even if that is killed.

Run as a script (`python -I -S tether.py STARTER COMMAND...`) in between, and not as a `preexec_fn`:
that would run Python code in a forked copy of a process with threads (gRPC has many), which may
hang. The process id stays the same, as `exec` replaces this script by the command.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to STARTER, then becomes COMMAND."""
    starter, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != starter:  # it ended before it could be tied to
            sys.exit(1)
    _raise_file_limit()
    os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted


def _raise_file_limit() -> None:
    """Servers want the many descriptors that they may have, not the few that a shell gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
