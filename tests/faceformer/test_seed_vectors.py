"""The published numbers, and that a small fault anywhere would be seen."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from mdth.errors import InputError, SpeechTooShort  # noqa: E402
from mdth.faceformer import decoder, network, statistics  # noqa: E402
from mdth.faceformer.config import VOCASET, EncoderConfig  # noqa: E402
from mdth.faceformer.predictor import FaceFormer  # noqa: E402
from tests.support import faceformer_made_up as made_up  # noqa: E402
from tests.support import faceformer_plain as plain  # noqa: E402
from tests.support.raising import raises  # noqa: E402

TOLERANCE = 1e-5


def deviation(model, clip, **options) -> float:
    found = model.vertices(clip.samples, clip.template, clip.subject, **options)
    assert found.shape == clip.vertices.shape
    assert found.dtype == np.float32
    return float(np.abs(found - clip.vertices).max())


@pytest.mark.parametrize("name", ["short", "long"])
def test_published_numbers(reference, model, name: str) -> None:
    assert deviation(model, reference.clips[name]) < TOLERANCE


def test_more_than_the_published_limit(reference) -> None:
    assert len(reference.clips["long"].vertices) > 600


def test_plain_way_gives_the_published_numbers(reference, model) -> None:
    clip = reference.clips["short"]
    flat = torch.from_numpy(clip.template.reshape(-1))
    found = plain.vertices(model.network, torch.from_numpy(clip.samples), flat, clip.subject)
    assert np.abs(found.numpy() - clip.vertices.reshape(len(found), -1)).max() < TOLERANCE


def test_level_and_offset_of_the_sound_change_nothing(reference, model) -> None:
    clip = reference.clips["short"]
    found = model.vertices(0.2 * clip.samples + 0.05, clip.template, clip.subject)
    assert np.abs(found - clip.vertices).max() < TOLERANCE


def test_two_clips_do_not_meet(reference, model) -> None:
    clip = reference.clips["short"]
    first = model.vertices(clip.samples, clip.template, 0)
    model.vertices(clip.samples[::-1].copy(), clip.template, 1)
    assert np.array_equal(model.vertices(clip.samples, clip.template, 0), first)
    assert not np.allclose(model.vertices(clip.samples, clip.template, 2), first, atol=1e-4)


def test_template_is_added_once_and_never_fed_back(reference, model) -> None:
    clip = reference.clips["short"]
    moved = model.vertices(clip.samples, clip.template + 1, clip.subject)
    assert np.abs(moved - 1 - clip.vertices).max() < TOLERANCE


def one_steeper_slope(patch: pytest.MonkeyPatch) -> None:
    slopes = network.slopes() * torch.tensor([1.2, 1.0, 1.0, 1.0])
    patch.setattr(network, "slopes", lambda: slopes)


def slopes_of_eight_heads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(network, "slopes", lambda: torch.tensor([0.5, 0.25, 0.125, 0.0625]))


def resampling(patch: pytest.MonkeyPatch, mode: str) -> None:
    def resample(features, length):
        return torch.nn.functional.interpolate(features.T[None], length, mode=mode)[0].T

    patch.setattr(network, "resample", resample)


def no_positions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decoder, "positions", lambda period, width: torch.zeros(period, width))


def other_epsilon(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(statistics.SoundStatistics, "_loudness", lambda self: 100.0)


@pytest.mark.parametrize("fault", [
    one_steeper_slope, slopes_of_eight_heads, partial(resampling, mode="linear"),
    partial(resampling, mode="nearest"), no_positions, other_epsilon,
])  # fmt: skip
def test_a_changed_rule_is_seen(
    fault: Callable[[pytest.MonkeyPatch], None],
    vocaset_reference,
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(monkeypatch)
    model = FaceFormer.load(vocaset_reference.save(tmp_path / "a.pth"), vocaset_reference.config)
    assert deviation(model, vocaset_reference.clips["short"]) > TOLERANCE


@pytest.mark.parametrize("changed", [{"period": 29}, {"tokens_per_frame": 2, "fps": 25}])
def test_a_changed_size_is_seen(changed: dict, vocaset_reference, tmp_path) -> None:
    config = dataclasses.replace(vocaset_reference.config, **changed)
    model = FaceFormer.load(vocaset_reference.save(tmp_path / "a.pth"), config)
    clip = vocaset_reference.clips["short"]
    found = model.vertices(clip.samples, clip.template, clip.subject)
    count = min(len(found), len(clip.vertices))
    assert np.abs(found[:count] - clip.vertices[:count]).max() > TOLERANCE


def used_tensors() -> list[str]:
    """Every kind of tensor that matters; of layers that repeat, the first and the last."""
    encoder = "audio_encoder.feature_extractor.conv_layers"
    layer = "audio_encoder.encoder.layers.1"
    own = "transformer_decoder.layers.0"
    return [
        f"{encoder}.0.conv.weight", f"{encoder}.0.layer_norm.weight", f"{encoder}.6.conv.weight",
        "audio_encoder.feature_projection.projection.bias",
        "audio_encoder.encoder.pos_conv_embed.conv.weight_g",
        "audio_encoder.encoder.pos_conv_embed.conv.weight_v", f"{layer}.attention.v_proj.weight",
        f"{layer}.final_layer_norm.bias", "audio_feature_map.weight", "vertice_map.bias",
        f"{own}.self_attn.in_proj_bias", f"{own}.multihead_attn.out_proj.weight",
        f"{own}.norm3.weight", "vertice_map_r.weight", "obj_vector.weight",
    ]  # fmt: skip


@pytest.mark.parametrize("name", used_tensors())
def test_a_single_changed_number_is_seen(name: str, reference, tmp_path) -> None:
    clip = reference.clips["short"]
    weight = reference.weights[name].clone()
    spot = (0, clip.subject) if name == "obj_vector.weight" else (-1,) * weight.dim()
    weight[spot] += 0.5
    model = FaceFormer.load(reference.save(tmp_path / "a.pth", **{name: weight}), reference.config)
    assert deviation(model, clip) > TOLERANCE


def test_wrong_input_is_named(vocaset_reference, vocaset_model) -> None:
    clip = vocaset_reference.clips["short"]
    with pytest.raises(InputError, match=r"template of shape \(5023, 3\).*15 vertices"):
        vocaset_model.vertices(clip.samples, np.zeros((5023, 3)), 0)
    with pytest.raises(InputError, match="no subject 'Nobody'; use 0 to 2 or one of FaceTalk_"):
        vocaset_model.vertices(clip.samples, clip.template, "Nobody")
    raises(InputError, "no subject 3", vocaset_model.vertices, clip.samples, clip.template, 3)
    raises(SpeechTooShort, None, vocaset_model.vertices, clip.samples[:4000], clip.template, 0)


def test_subjects_by_name(vocaset_model) -> None:
    assert vocaset_model.subject("FaceTalk_170725_00137_TA") == 2


def test_silence_is_a_finite_mesh(vocaset_reference, vocaset_model) -> None:
    clip = vocaset_reference.clips["short"]
    assert np.isfinite(vocaset_model.vertices(np.zeros(16_000, np.float32), clip.template, 0)).all()


def test_transformers_gives_the_same_encoder() -> None:
    transformers = pytest.importorskip("transformers", reason="compared only where installed")
    config = EncoderConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4)
    ours = made_up.network(dataclasses.replace(VOCASET, encoder=config, vertices=5))
    sizes = dataclasses.asdict(config) | {"layer_norm_eps": 1e-5}
    theirs = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**sizes)).eval()
    today = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): weight
        for name, weight in ours.audio_encoder.state_dict().items()
    }
    theirs.load_state_dict(today)
    sound = made_up.sound(2.0)
    sound = (sound - sound.mean()) / sound.std(correction=0)
    heard = statistics.SoundStatistics.of(sound)
    with torch.inference_mode():
        features = ours.audio_encoder.feature_extractor(sound, heard)
        expected = theirs(sound[None]).last_hidden_state[0]
        assert torch.allclose(ours.audio_encoder(features), expected, atol=2e-5)
