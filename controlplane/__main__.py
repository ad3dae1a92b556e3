"""Lets `python -m controlplane` do what the command `sluice` does, where no script is installed."""

from __future__ import annotations

from controlplane.cli.main import main

if __name__ == "__main__":
    main()
