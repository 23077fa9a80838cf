"""From faces and sounds to a decoder, on made-up data: each step's own promise."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mdth.embedded.speech.decoder import Decoder  # noqa: E402
from mdth.embedded.speech.speech_encoder import INPUTS  # noqa: E402
from mdth.errors import InputError  # noqa: E402
from mdth.face import topology  # noqa: E402
from training import sessions, voices  # noqa: E402
from training.bank import SCHEME  # noqa: E402
from training.dataset import Faces, component_weight, neutral_face, principal_components, project  # noqa: E402
from training.decoder_trainer import (  # noqa: E402
    TrainConfig,
    Windows,
    configure,
    pair_gap,
    save_run,
    train_decoder,
)
from training.export_onnx import export, load_run  # noqa: E402
from training.network import DecoderConfig, LipDecoder  # noqa: E402
from training.tracks import fill_gaps  # noqa: E402

RNG = np.random.default_rng(0)
SMALL = DecoderConfig(width=16, blocks=1, components=4)


def made_up_faces(clips: int = 12) -> Faces:
    basis = RNG.standard_normal((4, 478, 3)).astype(np.float32) * 0.01
    return Faces(
        np.array([f"clip{i:02}" for i in range(clips)]),
        RNG.standard_normal((clips, 75, 4)).astype(np.float32), basis,
        np.zeros((clips, 478, 3), np.float32), np.full((clips, 75), 0.1, np.float32),
        np.full((clips, 75), 0.5, np.float32), np.arange(clips) >= clips - 1, np.array([[0, 1.0]]),
    )  # fmt: skip


def test_gaps_in_a_track_are_filled_evenly() -> None:
    meshes = [np.full((478, 3), 0.0), None, np.full((478, 3), 2.0), None]
    assert fill_gaps(meshes)[:, 0, 0].tolist() == [0, 1, 2, 2]


def test_the_neutral_face_is_that_of_quiet_shut_frames() -> None:
    gaps = np.tile([0.003, 0.1, 0.003, 0.12], 20)
    loud = np.tile([-60.0, -60.0, -20.0, -20.0], 20)
    faces = np.repeat(gaps[:, None, None], 478, axis=1) * np.ones(3)
    assert neutral_face(faces, gaps, loud)[0, 0] == pytest.approx(0.003)


def test_components_rebuild_what_they_were_made_of() -> None:
    hidden = RNG.standard_normal((5, 478, 3))
    offsets = np.einsum("tk,kvi->tvi", RNG.standard_normal((60, 5)), hidden)
    basis = principal_components(offsets, component_weight())
    rebuilt = np.einsum("tk,kvi->tvi", project(offsets, basis), basis)
    assert np.abs(rebuilt - offsets).max() < 1e-6


def test_another_voice_keeps_the_timing() -> None:
    count = 16_000
    sound = np.zeros(count, np.float32)
    sound[9000:11000] = RNG.standard_normal(2000)
    moved = voices.change_voice(torch.from_numpy(sound)[None], voices.Voice(1.5, 1.1, 0.8))[0]
    power = np.square(moved.numpy())
    assert len(power) == round(count * 0.8)
    assert (power * np.arange(len(power))).sum() / power.sum() == pytest.approx(8000, abs=250)


def test_a_higher_voice_is_higher() -> None:
    tone = torch.sin(2 * np.pi * 200 * torch.arange(16_000) / 16_000)[None]
    high = voices.change_voice(tone, voices.Voice(pitch=1.5))[0]
    assert int(torch.fft.rfft(high).abs().argmax()) == pytest.approx(300, abs=3)


def test_joined_utterances_keep_their_faces_at_their_times() -> None:
    times = np.arange(75) / 25
    rows = np.ones((75, 4), np.float32)
    spoken = sessions.Utterance(np.ones(48_000, np.float32) * 0.1, times, rows, np.array([1.0]))
    session = sessions.join([spoken, spoken], np.random.default_rng(2))
    start_s = session.closures - 1.0
    for begin_s in start_s:
        middle = int((begin_s + 1.5) * sessions.DENSE_HZ)
        assert session.coefficients[middle] == pytest.approx(np.ones(4), abs=1e-5)


def test_a_pair_of_windows_that_agree_costs_nothing() -> None:
    ramp = torch.arange(40.0)[None, :, None].repeat(2, 1, 3)
    shift = torch.tensor([0.5, 3.25])
    assert float(pair_gap(ramp, ramp + shift[:, None, None], shift)) == pytest.approx(0, abs=1e-8)
    assert float(pair_gap(ramp, ramp, shift)) > 0.1


def test_settings_are_checked() -> None:
    config, train = configure(["kind=attention", "steps=7"])
    assert (config.kind, train.steps) == ("attention", 7)
    with pytest.raises(InputError, match="stepz"):
        configure(["stepz=7"])


@pytest.mark.slow
def test_training_learns_and_the_export_says_the_same(tmp_path: Path) -> None:
    faces = made_up_faces()
    heard = torch.randn(40, SCHEME.frames, INPUTS)
    target = heard[..., :4] * 0.5
    windows = Windows(
        heard.half(), target.half(), torch.zeros(40, SCHEME.frames, dtype=torch.bool),
        torch.ones(20),
    )  # fmt: skip
    untrained = LipDecoder(SMALL).eval()
    train = TrainConfig(steps=60, pairs=8, rate=1e-2, average=0.9, consistency=0)
    network = train_decoder(SMALL, train, windows, faces)
    with torch.no_grad():
        before = (untrained(heard) - target).square().mean()
        after = (network(heard) - target).square().mean()
    assert after < 0.7 * before

    (tmp_path / "set").mkdir()
    faces.save(tmp_path / "set")
    save_run(tmp_path / "run", network, train, {})
    export(tmp_path / "set", tmp_path, [tmp_path / "run"], {"same": tmp_path / "run"})
    shipped = Decoder(tmp_path)
    assert shipped.basis == pytest.approx(faces.basis, abs=1e-4)
    with torch.no_grad():
        expected = load_run(tmp_path / "run")[0](heard[:1])[0].numpy()
    assert shipped.coefficients(heard[0].numpy()) == pytest.approx(expected, abs=5e-3)
    card = json.loads((tmp_path / "faceformer.json").read_text("utf-8"))
    assert card["held_out"] == ["clip11"]


def test_upper_face_never_moves() -> None:
    from training.dataset import speech_weight

    canonical = np.zeros((478, 3))
    canonical[:468] = topology.CANONICAL
    weight = speech_weight(canonical)
    assert not weight[topology.UPPER_FACE].any()
    assert weight[topology.LIPS_INNER].min() == 1
