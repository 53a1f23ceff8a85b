"""Why a message was not taken: what was wrong, on which line, in which field."""

from __future__ import annotations

from tradeloop.errors import ReferenceInvalid


class MessageInvalid(ReferenceInvalid):
    """The message, or the case around it, cannot be read."""

    def __init__(self, message: str, *, line: int = 0, field: str = "", hint: str = "") -> None:
        place = ", ".join(part for part in (f"line {line}" if line else "", f"field {field}" if field else "") if part)
        super().__init__(f"{place}: {message}" if place else message, where=place, hint=hint)
        self.line = line
        """From 1; 0: no line of the message, but the event around it."""
        self.field = field
        """The tag (`25D`), the sequence (`16R`), or the element's path."""
