"""From faces and sounds to a decoder, on made-up data: each step's own promise."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mdth.embedded.speech.decoder import Decoder  # noqa: E402
from mdth.embedded.speech.speech_encoder import INPUTS  # noqa: E402
from mdth.errors import InputError  # noqa: E402
from tests.support import people_made_up as made_up  # noqa: E402
from training import decoder_trainer, sessions, voices  # noqa: E402
from training.bank import SCHEME  # noqa: E402
from training.dataset import component_weight, principal_components, project  # noqa: E402
from training.decoder_trainer import TrainConfig, Windows, loss_of, pair_gap  # noqa: E402
from training.export_onnx import export, load_run, shipped  # noqa: E402
from training.features import encode_session  # noqa: E402
from training.kokoro import write_wav  # noqa: E402
from training.measures import linear  # noqa: E402
from training.network import DecoderConfig, LipDecoder, MeanDecoder  # noqa: E402

RNG = np.random.default_rng(0)
SMALL = DecoderConfig(width=16, blocks=1, components=made_up.COMPONENTS)


def test_components_rebuild_what_they_were_made_of() -> None:
    hidden = RNG.standard_normal((5, 478, 3))
    offsets = np.einsum("tk,kvi->tvi", RNG.standard_normal((60, 5)), hidden)
    basis = principal_components(offsets, component_weight())
    assert np.abs(np.einsum("tk,kvi->tvi", project(offsets, basis), basis) - offsets).max() < 1e-6


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
    middles = ((session.closures + 0.5) * sessions.DENSE_HZ).astype(int)
    assert session.coefficients[middles] == pytest.approx(np.ones((2, 4)), abs=1e-5)


@pytest.fixture
def library(tmp_path: Path) -> sessions.Library:
    """Talk, GRID and a rig whose faces stand still, each at a coefficient of its own."""
    still = {"anna": 0.2, "ben": 0.2, "s1": 0.3, "rig": 0.4}
    clips = [made_up.clip(p, p, np.full((125, 8), x)) for p, x in still.items() for _ in range(8)]
    clips.append(made_up.clip("dora", "dora", np.full((125, 8), 0.9), "choose"))
    write_wav(tmp_path / "train_000.wav", np.sin(np.arange(16_000) * 0.1), 16_000)
    said = {"times": np.arange(100) / 100, "closures": np.array([0.5])}
    np.savez(tmp_path / "train_000.npz", coefficients=np.full((100, 8), 0.5, np.float32), **said)
    return sessions.Library(made_up.people(clips), tmp_path)


def test_late_lips_come_earlier(library: sessions.Library) -> None:
    clip = library.grid[0]
    library.late_s = {clip.name: 0.08}
    assert library.recorded(clip, 1.0, 2.0).times == pytest.approx(np.arange(26) / 25)
    assert len(library.recorded(clip).times) == len(clip.coefficients) - 2


EXPECTED = {"silent": 0.0, "talk": 0.2, "grid": 0.3, "rig": 0.4, "spoken": 0.5}


@pytest.mark.parametrize("kind", sessions.KINDS)
def test_a_session_has_the_faces_of_its_kind(
    kind: str, library: sessions.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "KINDS", {kind: 1.0})
    for number in range(3):
        made = sessions.make_session(library, np.random.default_rng(number))
        assert made.coefficients.max() == pytest.approx(EXPECTED[kind], abs=1e-3)
        assert len(made.coefficients) == pytest.approx(len(made.sound) / 16, abs=2)
        assert len(made.closures) == sessions.SENTENCES_PER_SESSION * (kind == "spoken")


def test_windows_have_the_faces_of_what_their_frames_hear() -> None:
    class Encoder:
        def hear(self, window: np.ndarray) -> np.ndarray:
            return (window[448 : 448 + 384 * 40 : 384, None] != 0).repeat(INPUTS, axis=1)

    times = np.arange(20_001) / 1000
    spoken = (times > 10) & (times < 12)
    faces = np.stack([spoken, np.sin(times / 0.3)], axis=1)
    session = sessions.Session(spoken.repeat(16).astype(np.float32), faces, np.array([7.0]))
    found = encode_session(session, Encoder(), 40, np.random.default_rng(0))  # type: ignore[arg-type]
    # The label's millisecond is a twentieth of a frame: one edge of eight may fall between.
    edges = np.diff(found["features"][..., 0], axis=1).any(axis=1).sum()
    assert (found["features"][..., 0] != found["coefficients"][..., 0]).sum() < edges / 8
    rows = torch.from_numpy(found["coefficients"][..., 1:]).float()
    shift = torch.from_numpy(found["shift"])
    assert float(shift.max()) > 5
    assert float(pair_gap(rows[::2], rows[1::2], shift)) < 1e-4
    assert float(pair_gap(rows[::2], rows[1::2], shift + 1)) > 1e-3
    assert found["marks"].sum() == pytest.approx(found["marks"].any(axis=1).sum(), abs=2)
    assert found["coefficients"][found["marks"]][:, 1] == pytest.approx(np.sin(7 / 0.3), abs=0.05)


def test_a_run_is_the_track_of_the_frames_that_are_served() -> None:
    class Encoder:
        def hear(self, window: np.ndarray) -> np.ndarray:
            return np.zeros((24, INPUTS), np.float32)

    times = np.arange(8001) / 1000
    session = sessions.Session(np.ones(8 * 16_000, np.float32), times[:, None], np.zeros(0))
    found = encode_session(session, Encoder(), 24, np.random.default_rng(0), runs=True)  # type: ignore[arg-type]
    tensors = (
        torch.from_numpy(found[name]) for name in ("features", "coefficients", "marks", "shift")
    )
    windows = Windows(*tensors)
    (_, faces, *_), *_ = windows.batches(3, 1, 0)
    tracks = decoder_trainer.served(faces, 6, 3)[..., 0]
    assert tracks.shape == (3, 24)
    inside = tracks[(tracks.min(dim=1).values > 0) & (tracks.max(dim=1).values < 8)]
    assert len(inside) and np.diff(inside.numpy(), axis=1) == pytest.approx(0.04, abs=0.006)


def test_a_loss_asks_for_the_amplitude_of_each_measure() -> None:
    mouth = decoder_trainer.Mouth(made_up.people(), torch.device("cpu"))
    target = torch.randn(4, 40, made_up.COMPONENTS).cumsum(dim=1) * 0.01
    mouth.scale(target)
    batch = (target, target, torch.zeros(4, 40, dtype=torch.bool), torch.ones(2))

    def loss(output: torch.Tensor, swing: float) -> float:
        train = TrainConfig(swing=swing, velocity=0, closed=0, marked=0, consistency=0)
        return float(loss_of(output, batch, mouth, torch.ones(made_up.COMPONENTS), train))

    assert loss(0.5 * target, 1.0) > loss(0.5 * target, 0.0) + 0.1
    assert loss(target, 1.0) == pytest.approx(loss(target, 0.0))


def test_live_the_frames_that_are_not_served_count_by_their_own_weight() -> None:
    mouth = decoder_trainer.Mouth(made_up.people(), torch.device("cpu"))
    target = torch.rand(6, 24, made_up.COMPONENTS) * 0.1
    mouth.scale(target)
    batch = (target, target, torch.zeros(6, 24, dtype=torch.bool), torch.zeros(2))
    wrong = target.clone()
    wrong[:, 3] += 0.1

    def loss(whole: float) -> float:
        train = TrainConfig(ahead=6, whole=whole)
        return float(loss_of(wrong, batch, mouth, torch.ones(made_up.COMPONENTS), train))

    assert loss(0.0) == pytest.approx(0.0, abs=1e-6)
    assert loss(0.5) == pytest.approx(0.5 * 0.01 / 24, rel=1e-3)


def test_near_frames_are_averaged() -> None:
    decoder, heard = LipDecoder(SMALL).eval(), torch.randn(1, 10, INPUTS)
    plain = torch.eye(made_up.COMPONENTS), torch.zeros(made_up.COMPONENTS)
    with torch.no_grad():
        one, mean = (MeanDecoder([decoder], *plain, near=n).eval()(heard)[0] for n in (0, 1))
    assert torch.equal(one, decoder(heard)[0].detach())
    assert mean[4].numpy() == pytest.approx(one[3:6].mean(dim=0).numpy(), abs=1e-6)
    assert mean[0].numpy() == pytest.approx(one[:2].mean(dim=0).numpy(), abs=1e-6)


def test_settings_are_checked() -> None:
    config, train = decoder_trainer.configure(["kind=attention", "steps=7"])
    assert (config.kind, train.steps) == ("attention", 7)
    with pytest.raises(InputError, match="stepz"):
        decoder_trainer.configure(["stepz=7"])


@pytest.mark.slow
def test_training_learns_and_the_export_says_the_same_with_its_gains(tmp_path: Path) -> None:
    people = made_up.people()
    heard = torch.randn(40, SCHEME.frames, INPUTS)
    target = heard[..., : made_up.COMPONENTS] * 0.5
    unmarked = torch.zeros(40, SCHEME.frames, dtype=torch.bool)
    windows = Windows(heard.half(), target.half(), unmarked, torch.ones(20))
    untrained = LipDecoder(SMALL).eval()
    train = TrainConfig(steps=60, pairs=8, rate=1e-2, average=0.9, consistency=0)
    network = decoder_trainer.train_decoder(LipDecoder(SMALL), train, windows, people)
    with torch.no_grad():
        before = (untrained(heard) - target).square().mean()
        after = (network(heard) - target).square().mean()
    assert after < 0.7 * before

    people.save(tmp_path / "people.npz")
    decoder_trainer.save_run(tmp_path / "a", network, train, {})
    decoder_trainer.save_run(tmp_path / "b", untrained, train, {})
    runs, gains = [tmp_path / "a", tmp_path / "b"], [1.5, 1.0, 1.0, 0.5, 1.0, 1.0]
    export(tmp_path / "people.npz", tmp_path, runs, gains)
    shipped = Decoder(tmp_path)
    assert shipped.basis == pytest.approx(people.basis, abs=1e-4)
    with torch.no_grad():
        said = np.mean([load_run(run)[0](heard[:1])[0].numpy() for run in runs], axis=0)
    found = shipped.coefficients(heard[0].numpy()) @ linear(people.basis)
    assert found == pytest.approx(said @ linear(people.basis) * gains, abs=0.02)
    card = json.loads((tmp_path / "faceformer.json").read_text("utf-8"))
    assert (card["held_out"], card["gains"]["corners"]) == (["c9"], 0.5)


def test_training_can_go_on_from_the_shipped_decoders() -> None:
    heard = RNG.normal(size=(SCHEME.frames, INPUTS)).astype(np.float32)
    with torch.no_grad():
        said = np.mean([d(torch.from_numpy(heard)[None])[0].numpy() for d in shipped()], axis=0)
    assert said == pytest.approx(Decoder().coefficients(heard), abs=1e-5)
