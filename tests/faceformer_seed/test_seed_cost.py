"""A step costs about the same however much came before it, and less than computing all again."""

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from mdth.faceformer.seed import bench, made_up, plain  # noqa: E402
from mdth.faceformer.seed.config import BIWI, VOCASET, EncoderConfig  # noqa: E402
from mdth.faceformer.seed.decoder import Decoder  # noqa: E402

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
    tokens = network.config.tokens_per_frame
    speech = torch.randn(40 * tokens, network.config.width)
    with torch.inference_mode():
        expected = Decoder(network, 0).frames(speech)
        monkeypatch.setattr("mdth.faceformer.seed.decoder.FIRST_CAPACITY", 4)
        found = Decoder(network, 0).frames(speech)
    assert torch.allclose(found, expected, atol=1e-6)


def test_step_10000_costs_at_most_twice_step_10() -> None:
    network = made_up.network(dataclasses.replace(VOCASET, encoder=SMALL))
    early, late = bench.steps(network.config, at=(10, 10_000))
    assert late <= 2 * early
