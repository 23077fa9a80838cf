"""Chains of operations on single numbers as one kernel, where torch.compile can make one."""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

log = logging.getLogger("mdth")

MOST_SIZES = 64
"""For which one function may be compiled; torch's own limit is 8."""
Given = ParamSpec("Given")
Made = TypeVar("Made")


class Fused(Generic[Given, Made]):  # noqa: UP046  Python 3.11 has no other way
    """A function that runs as it is on a CPU, compiled on a GPU, and as it is where that fails."""

    def __init__(self, function: Callable[Given, Made]) -> None:
        self.plain = function
        self._compiled: Callable[Given, Made] | None = None
        self._usable = find_spec("triton") is not None

    def __call__(self, *given: Given.args, **named: Given.kwargs) -> Made:
        """What the function gives."""
        first = given[0]
        on_gpu = isinstance(first, Tensor) and first.is_cuda
        if not (on_gpu and self._usable):
            return self.plain(*given, **named)
        if self._compiled is None:
            # Sizes known beforehand make index arithmetic cheap; a generator has few of them.
            torch._dynamo.config.cache_size_limit = MOST_SIZES
            self._compiled = torch.compile(self.plain, dynamic=False)
        try:
            return self._compiled(*given, **named)
        except RuntimeError as error:
            # What torch.compile raises without a working C compiler or for a chip it does not know.
            if torch.cuda.is_current_stream_capturing():
                raise
            self._usable = False
            reason = str(error).partition("\n")[0][:200]
            log.warning("torch.compile does not work here (%s): rendering is slower", reason)
            return self.plain(*given, **named)
