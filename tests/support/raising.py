"""`pytest.raises` of one call in one line."""

from collections.abc import Callable

import pytest


def raises(
    error: type[BaseException] | tuple[type[BaseException], ...],
    words: str | None,
    call: Callable[..., object],
    /,
    *arguments: object,
    **named: object,
) -> None:
    """Nothing, where the call ends in that error; `words`: a pattern that its text has."""
    with pytest.raises(error, match=words):
        call(*arguments, **named)
