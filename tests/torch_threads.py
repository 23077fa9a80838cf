"""One thread for torch, for the folders whose networks are tiny: their conftest imports it."""

from collections.abc import Iterator

import pytest

__all__ = ["one_thread"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks gain nothing from threads, and lose much on a busy machine."""
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
