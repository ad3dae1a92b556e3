"""The command line: one module a command, each a thin layer over the package or its web API.

Exit codes: 0 all went well, 1 a problem (told in one line on stderr), 2 wrong usage.
"""
