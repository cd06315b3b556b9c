"""What this client answers when it cannot do what was asked: one class, told apart by `kind`."""

from collections.abc import Mapping

ASKED_WRONGLY = 2  # the request itself; everything else that fails is 1


class Failure(Exception):
    """An answer that is not the one wanted. `facts` go into the answer as they are (JSON)."""

    def __init__(
        self, kind: str, message: str, *, exit_code: int = 1, facts: Mapping[str, object] = {}
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.exit_code = exit_code
        self.facts = facts

    @property
    def answer(self) -> dict[str, object]:
        """The object that goes out."""
        return {"error": self.kind, "message": str(self), **self.facts}


def malformed(message: str) -> Failure:
    """The request is not one this client understands."""
    return Failure("MalformedRequest", message, exit_code=ASKED_WRONGLY)
