"""What a careless reader of pickles would run."""

from typing import Any


class Bomb:
    """Unpickled without care, it makes the call."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.what = (call, arguments)

    def __reduce__(self) -> Any:
        return self.what
