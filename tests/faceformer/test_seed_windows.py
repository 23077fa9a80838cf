"""Long sound in windows: the same frames however it is cut, in bounded memory."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from mdth.errors import SpeechTooShort  # noqa: E402
from mdth.faceformer.config import BIWI, VOCASET, EncoderConfig  # noqa: E402
from mdth.faceformer.encoder import feature_count  # noqa: E402
from mdth.faceformer.predictor import FaceFormer  # noqa: E402
from mdth.faceformer.statistics import SoundStatistics  # noqa: E402
from mdth.faceformer.windows import WindowedEncoder, Windows  # noqa: E402
from tests.support import faceformer_made_up as made_up  # noqa: E402

RATE_HZ = 16_000


def cut(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def test_windows_hold_no_more_the_longer_the_sound(reference, model) -> None:
    noise = torch.randn(RATE_HZ, generator=torch.Generator().manual_seed(0))
    statistics = SoundStatistics.of(noise.repeat(12))
    encoder = WindowedEncoder(model.network, Windows(past_s=1, hop_s=0.4, ahead_s=0.2), statistics)
    held = []
    for _ in range(12):
        for _speech in encoder.hear(noise):
            pass
        held.append(len(encoder.sound) + encoder.features.numel())
    assert max(held[6:]) <= max(held[:6])


def test_windows_of_a_long_file_use_the_whole_clips_statistics(reference, model) -> None:
    """With them only the transformer's sight is shorter, here not even that."""
    clip = reference.clips["long"]
    found = model.vertices(clip.samples, clip.template, clip.subject, whole_clip_s=0.0)
    assert np.abs(found - clip.vertices).max() < 1e-4


@pytest.mark.parametrize("size", [777, 40_000])
def test_a_long_file_in_blocks_is_the_long_array(size: int, reference, model) -> None:
    clip = reference.clips["long"]
    expected = model.vertices(clip.samples, clip.template, clip.subject, whole_clip_s=0.0)
    blocks = cut(clip.samples, size)
    found = list(model.meshes(blocks, clip.template, clip.subject, whole_clip_s=0.0))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=0, atol=1e-6)
    with pytest.raises(SpeechTooShort):
        next(model.meshes([clip.samples[:3000]], clip.template, clip.subject))


@pytest.mark.parametrize("size", [160, 1237, 50_000])
def test_cutting_changes_nothing(size: int, reference, model) -> None:
    clip = reference.clips["short"]
    samples = clip.samples[: 4 * RATE_HZ]
    empty = samples[:0]
    blocks = [empty, samples[:1], empty, *cut(samples[1:], size), empty]
    for whole_clip_s in (0.0, 120.0):
        whole = model.vertices(samples, clip.template, 0, whole_clip_s=whole_clip_s)
        parts = list(model.meshes(blocks, clip.template, 0, whole_clip_s=whole_clip_s))
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-6)


def test_several_windows_stay_near_the_whole_clip(reference, model) -> None:
    sound = torch.from_numpy(reference.clips["long"].samples)
    statistics = SoundStatistics.of(sound)
    with torch.inference_mode():
        features = model.network.audio_encoder.feature_extractor(sound, statistics)
        whole = model.network.speech(model.network.aligned(features))
        encoder = WindowedEncoder(model.network, Windows(past_s=3, hop_s=2, ahead_s=3), statistics)
        parts = list(encoder.hear(sound))
    assert len(parts) > 10
    found = torch.cat(parts)
    assert found.shape == whole.shape and float((found - whole).std() / whole.std()) < 0.05


def test_statistics_of_blocks_are_those_of_all_sound() -> None:
    sound = made_up.sound(3.0)
    parts = SoundStatistics()
    for block in (sound[:3], sound[3:7], sound[7:20_001], sound[20_001:]):
        parts.hear(block)
    conv, norm = torch.nn.Conv1d(1, 6, 10, 5, bias=False), torch.nn.GroupNorm(6, 6)
    for heard in (parts, SoundStatistics.of(sound)):
        weight, bias = heard.folded(conv.weight, norm)
        found = torch.nn.functional.conv1d(sound[None, None], weight, bias, stride=5)
        level = (sound.var(correction=0) + 1e-7).sqrt()
        expected = norm(conv((sound - sound.mean())[None, None] / level))
        assert torch.allclose(found, expected, atol=1e-4)


def test_too_little_sound(reference, model) -> None:
    template = reference.clips["short"].template
    with pytest.raises(SpeechTooShort):
        list(model.meshes([np.zeros(100, np.float32)], template, 0))
    with pytest.raises(SpeechTooShort):
        list(model.meshes([], template, 0))


@pytest.mark.parametrize("config", [VOCASET, BIWI])
def test_any_length_gives_as_many_frames_either_way(config) -> None:
    tiny = EncoderConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        conv_dim=(4,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    made = dataclasses.replace(config, encoder=tiny, vertices=4)
    model = FaceFormer(made_up.network(made))
    template = np.zeros((4, 3), np.float32)
    for count in (4_800, 16_080, 16_400, 38_321):
        samples = made_up.sound(count / RATE_HZ).numpy()
        whole = model.vertices(samples, template, 0)
        assert len(whole) == made.frames(feature_count(count))
        assert len(model.vertices(samples, template, 0, whole_clip_s=0.0)) == len(whole)
