"""Why an input of a limit check was not taken: which file, which line, which field."""

from __future__ import annotations

from tradeloop.errors import ReferenceInvalid


class InputInvalid(ReferenceInvalid):
    """An input of a limit check cannot be read."""

    def __init__(self, message: str, *, file: str, line: int = 0, field: str = "", hint: str = "") -> None:
        place = ", ".join((file, *([f"line {line}"] if line else []), *([f"field {field}"] if field else [])))
        super().__init__(f"{place}: {message}", where=place, hint=hint)
        self.file = file
        """How the event calls it: its last path component, or the input it is."""
        self.line = line
        """From 1; of a table the row's line with the header as line 1; 0: the file as a whole."""
        self.field = field
        """The column, or the event's field."""
