"""What the service is compared with: the least that could do it, and what many would write."""

from importlib.util import find_spec


def tutorial_is_here() -> bool:
    """Whether FastAPI is installed; only the bench wants it."""
    return find_spec("fastapi") is not None
