"""What can go wrong with a program that is run on this machine, in one line each.

Every message names the program and says what to do, so that the command line can print it as it is.
"""

from __future__ import annotations


class LocalError(Exception):
    """A part of the local stack could not be found, started, or asked."""


class MissingBinaryError(LocalError):
    """A program that the local stack needs is not installed."""


class StartError(LocalError):
    """A program was started, but ended, or did not get ready within its deadline."""


class PortTakenError(StartError):
    """The port that a server was told to listen on is in use."""
