"""The error tree: four kinds, by what the caller can do about it.

    PodError
    ├── Refused       the request can never succeed as it is: change it
    ├── Conflict      the same name was used before for something else
    ├── NotFound      what the request names does not exist
    └── Unavailable   nothing is wrong with the request: try again later

A leaf is a class whose docstring is its message; what it was about goes into keyword details.
Where HTTP is spoken, `coordinator/api/errors.py` maps the kinds to statuses; nothing else does.
A broken invariant is not in this tree: it is an assertion, a crash and a page.
"""


def snake_case(class_name: str) -> str:
    """`BondSeized` as `bond_seized`: the word for programs that a class name stands for."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name).lstrip("_")


class PodError(Exception):
    """Something the caller should hear about."""

    def __init__(self, message: str | None = None, **details: object) -> None:
        self.details = details
        self.message = message or " ".join((type(self).__doc__ or "").split())
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The class name in snake case: a stable word for programs."""
        return snake_case(type(self).__name__)

    def __str__(self) -> str:
        if not self.details:
            return self.message
        told = ", ".join(f"{key}={value}" for key, value in self.details.items())
        return f"{self.message} ({told})"


class Refused(PodError):
    """The request cannot be carried out as it is."""


class Conflict(PodError):
    """The name was already used for something else."""


class NotFound(PodError):
    """There is no such thing."""


class Unavailable(PodError):
    """It cannot be done right now; try again later."""
