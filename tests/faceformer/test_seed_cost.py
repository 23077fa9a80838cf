"""A step does the same operations however much came before it; none computes the past again."""

import dataclasses
from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from mdth.faceformer.config import BIWI, VOCASET, EncoderConfig  # noqa: E402
from mdth.faceformer.decoder import Decoder  # noqa: E402
from tests.support import faceformer_made_up as made_up  # noqa: E402
from tests.support import faceformer_plain as plain  # noqa: E402

SMALL = EncoderConfig(num_hidden_layers=0, hidden_size=48, intermediate_size=8)


@pytest.fixture(scope="module", params=[VOCASET, BIWI], ids=lambda config: config.dataset)
def network(request: pytest.FixtureRequest):
    """The decoder at its full width; the encoder plays no part, the mesh is smaller for BIWI."""
    vertices = min(request.param.vertices, 5023)
    return made_up.network(dataclasses.replace(request.param, encoder=SMALL, vertices=vertices))


def test_kept_is_what_plain_recomputes(network) -> None:
    tokens = network.config.tokens_per_frame
    speech = torch.randn(40 * tokens, network.config.width)
    with torch.inference_mode():
        decoder = Decoder(network, 3)
        hidden = [decoder.frames(part) for part in speech.split(8 * tokens)]
        found = network.vertice_map_r(torch.cat(hidden))
    expected = plain.offsets(network, speech[None], 3)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_keys_outgrow_their_first_room(network, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = torch.randn(40 * network.config.tokens_per_frame, network.config.width)
    with torch.inference_mode():
        expected = Decoder(network, 0).frames(speech)
        monkeypatch.setattr("mdth.faceformer.decoder.FIRST_CAPACITY", 4)
        found = Decoder(network, 0).frames(speech)
    assert torch.allclose(found, expected, atol=1e-6)


class Counted(TorchDispatchMode):
    """Every operation inside the block, and the numbers in the largest result of any."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.largest = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        self.calls[str(operation)] += 1
        given = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        if isinstance(found, torch.Tensor) and found.untyped_storage().data_ptr() not in given:
            self.largest = max(self.largest, found.numel())
        return found


def test_a_late_step_does_what_an_early_one_does(network) -> None:
    """Beyond one score per head and past frame, nothing grows; seconds: `bench steps`."""
    tokens, width = network.config.tokens_per_frame, network.config.width
    steps = {}
    with torch.inference_mode():
        decoder = Decoder(network, 0)
        for done in (10, 2_000):
            decoder.frames(torch.randn((done - decoder.done) * tokens, width))
            speech = torch.randn(tokens, width)
            with Counted() as steps[done]:
                decoder.frames(speech)
    assert steps[10].calls == steps[2_000].calls
    assert steps[2_000].largest <= max(4 * 2_001, 4 * width)
