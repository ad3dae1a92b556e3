"""The control plane over HTTP: health, metrics, the filters' code, and the API of the commands."""
