"""What the tests share: real servers as fixtures, waiting with a deadline, an HTTP load."""

from __future__ import annotations
