"""Regular expressions, checked before a proxy would refuse a whole listener for one of them.

Envoy takes RE2. The engine behind pydantic is of the same family (linear time, so neither
look-around nor back-references) and reads all but a few corners of RE2 the same way; what it
refuses is refused here, with the reason, at the field.
"""

from __future__ import annotations

from pydantic_core import SchemaError, SchemaValidator, core_schema


def expression_error(text: str) -> str | None:
    """Tell what is wrong with an expression; None when nothing is."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=text))
    except SchemaError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        why = next(
            (line.removeprefix("error: ") for line in lines if line.startswith("error:")), ""
        )
        return "must be a regular expression in the syntax of RE2" + (f": {why}" if why else "")
    return None
