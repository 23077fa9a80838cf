"""Training of the generator on made-up clips: data as meant, losses that fall, runs that go on."""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mdth.bfv2v.checkpoint import load_generator  # noqa: E402
from mdth.errors import CheckpointError, InputError, NoFaceFound  # noqa: E402
from mdth.face import geometry, landmarks68, topology  # noqa: E402
from mdth.face.crop import around  # noqa: E402
from tests.support import generator_made_up as made_up  # noqa: E402
from torch_threads import one_thread  # noqa: E402, F401
from training.generator import __main__ as command  # noqa: E402
from training.generator import critic, losses, run, trainer  # noqa: E402
from training.generator.batches import Clips  # noqa: E402
from training.generator.pack import Sample, landmarks, pack  # noqa: E402
from training.generator.packed import Packed  # noqa: E402

CPU = torch.device("cpu")
SIDE = 32
TINY = dataclasses.replace(
    made_up.SMALL,
    frame_size=SIDE,
    dense_motion=dataclasses.replace(made_up.SMALL.dense_motion, num_blocks=2),
)


def made_clip(path: Path) -> Iterator[Sample]:
    """Six frames of a smooth picture; the second clip has no face."""
    if path.stem == "1":
        raise NoFaceFound(f"{path}: no face")
    picture = np.roll(made_up.picture(256), 20 * int(path.stem), axis=1)
    return (Sample(picture, face) for face in made_up.landmarks(6, random_seed=int(path.stem)))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    path = tmp_path_factory.mktemp("packed") / "clips.npz"
    pack([Path(f"{index}.mp4") for index in range(8)], every=1, reader=made_clip).save(path)
    return Packed.load(path)


def test_packed_clips_come_back(packed: Packed) -> None:
    assert packed.names.tolist() == ["0", "2", "3", "4", "5", "6", "7"]
    assert np.bincount(packed.clip).tolist() == [6] * 7
    again = packed.frame(13).astype(int)
    assert np.abs(again - np.roll(made_up.picture(256), 60, axis=1)).mean() < 3
    expected = made_up.landmarks(6, random_seed=3)[1]
    np.testing.assert_allclose(packed.value[13], expected.value, rtol=1e-6)
    np.testing.assert_allclose(packed.U[13], expected.U, rtol=1e-6)


def test_landmarks_lead_to_the_picture() -> None:
    """Normalised landmarks through U are the mesh's 68 points in the crop; irises stand in."""
    turn = geometry.rotation_from_euler_deg(12, -7, 4)
    eyes = np.repeat(topology.CANONICAL[[159, 386]], 5, axis=0)
    canonical = np.concatenate([topology.CANONICAL, eyes])
    mesh = 90 * canonical @ turn.T + np.array([200.0, 150.0, 5.0])
    crop = around(mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0))
    face = landmarks(mesh, crop)
    rows = np.column_stack([face.value * face.scale, np.ones(68)]) @ face.U
    expected = landmarks68.from_mesh(crop.points(mesh))
    expected[[3, 4]] = landmarks68.irises(crop.points(mesh))
    np.testing.assert_allclose(rows[:, :2], expected[:, :2], atol=1e-6)
    assert np.abs(rows[:, 2]).max() < 128, "depth within the volume"
    np.testing.assert_allclose(face.value, landmarks(90 * canonical + 100.0, crop).value, atol=1e-6)


def test_smaller_pictures_keep_their_landmarks(packed: Packed) -> None:
    """Landmarks lead to the same place of the picture, whatever its size."""
    places = []
    for side in (256, SIDE):
        clips = Clips(packed, side=side, held_out=2, device=CPU)
        pair = clips.pair(np.array([0, 7]), np.array([1, 8]))
        assert pair.source.shape == (2, 3, side, side) and 0 <= pair.source.min()
        face = pair.driving_face
        points = face.value * face.scale[:, None, None]
        rows = torch.cat([points, torch.ones(2, 68, 1)], 2) @ face.U
        places.append(rows[..., :3] / (side / 2))
    torch.testing.assert_close(places[0], places[1], rtol=1e-5, atol=1e-5)


def test_pairs_are_of_one_clip_and_held_out_clips_are_never_drawn(packed: Packed) -> None:
    clips = Clips(packed, side=SIDE, held_out=2, device=CPU)
    assert not set(np.concatenate(clips.train)) & set(np.concatenate(clips.test))
    drawn: list[tuple[np.ndarray, np.ndarray]] = []
    clips.pair = lambda a, b: drawn.append((a, b)) or Clips.pair(clips, a, b)
    random = np.random.default_rng(0)
    for _ in range(20):
        clips.draw(3, random)
    sources, drivings = (np.concatenate(part) for part in zip(*drawn, strict=True))
    assert (packed.clip[sources] == packed.clip[drivings]).all() and (sources != drivings).all()
    assert packed.clip[sources].max() < 5
    assert len(clips.held_out(3).source) == 6
    with pytest.raises(InputError, match="held out"):
        Clips(packed, side=SIDE, held_out=7, device=CPU)


def new_trainer() -> trainer.Trainer:
    torch.manual_seed(0)
    return trainer.Trainer(TINY, CPU, critic_width=4)


def test_losses_fall_and_the_critic_joins(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "CRITIC_FROM", 30)
    monkeypatch.setattr(trainer, "WARM_UP", 5)
    made, clips = new_trainer(), Clips(packed, side=SIDE, held_out=2, device=CPU)
    random = np.random.default_rng(0)
    seen = [made.step(clips.draw(2, random)) for _ in range(34)]
    first, last = (np.mean([s["pyramid"] for s in seen[k]]) for k in (slice(5), slice(25, 30)))
    assert last < 0.6 * first
    assert "critic" not in seen[29]
    assert {"critic", "adversarial", "matching"} <= seen[30].keys()
    assert all(math.isfinite(value) for losses in seen for value in losses.values())


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CRITIC_FROM", 1)
    clips = Clips(packed, side=SIDE, held_out=2, device=CPU)
    random = np.random.default_rng(0)
    batches = [clips.draw(2, random) for _ in range(5)]
    whole = new_trainer()
    for batch in batches[:3]:
        whole.step(batch)
    whole.save(tmp_path / "checkpoint.pth.tar")
    expected = [whole.step(batch) for batch in batches[3:]]
    torch.manual_seed(99)
    again = trainer.Trainer(TINY, CPU, critic_width=4)
    again.load(tmp_path / "checkpoint.pth.tar")
    assert again.steps == 3
    assert [again.step(batch) for batch in batches[3:]] == expected
    for mean, other in itertools.zip_longest(
        whole.average.state_dict().values(), again.average.state_dict().values()
    ):
        torch.testing.assert_close(mean, other, rtol=0, atol=0)


def darkening_clip(path: Path) -> Iterator[Sample]:
    return (
        Sample(sample.picture - np.minimum(sample.picture, 8 * index), sample.landmarks)
        for index, sample in enumerate(made_clip(path))
    )


def test_the_command_trains_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it leaves behind loads as the published files do."""
    data, out, yaml = tmp_path / "clips.npz", tmp_path / "run", tmp_path / "tiny.yaml"
    packed = pack([Path(f"{index}.mp4") for index in range(2, 6)], every=1, reader=darkening_clip)
    packed.save(data)
    made_up.write_config(yaml, TINY, made_up.SMALL_HEADPOSE)
    monkeypatch.setattr(run, "HELD_OUT", 2)
    for steps in ("2", "4"):
        given = ["train", str(data), str(out), "--config", str(yaml), "--batch", "2"]
        monkeypatch.setattr("sys.argv", [*given, "--steps", steps, "--every=2", "--critic-width=4"])
        command.main()
    curve = json.loads((out / "curve.json").read_text())
    assert [entry["step"] for entry in curve] == [0, 2, 4]
    assert ["still_db" in entry for entry in curve] == [True, False, False]
    pair = Clips(packed, side=SIDE, held_out=2, device=CPU).held_out(run.EACH)
    assert len(pair.source) == 10
    errors = ((pair.source - pair.driving).numpy().astype(float) ** 2).mean(axis=(1, 2, 3))
    assert curve[0]["still_db"] == pytest.approx(np.mean(-10 * np.log10(errors)), abs=1e-3)
    assert (out / "samples-000004.png").is_file()
    assert load_generator(out / "checkpoint.pth.tar", out / "config.yaml").config == TINY


def test_perceptual_loss_wants_vgg(tmp_path: Path) -> None:
    """Random weights under torchvision's names: equal pictures cost nothing, others something."""
    torch.manual_seed(0)
    places, width = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28], 3
    outputs = [number for number in losses.VGG if isinstance(number, int)]
    weights = {}
    for place, number in zip(places, outputs, strict=True):
        weights[f"features.{place}.weight"] = 0.05 * torch.randn(number, width, 3, 3)
        weights[f"features.{place}.bias"] = torch.zeros(number)
        width = number
    path = tmp_path / "vgg19.pth"
    torch.save(weights | {"classifier.0.weight": torch.zeros(1)}, path)
    perceptual = losses.Perceptual(path)
    pictures = torch.rand(1, 3, 32, 32)
    assert float(perceptual(pictures, pictures)) == 0
    assert float(perceptual(pictures, 1 - pictures)) > 0.01
    del weights["features.28.bias"]
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match="28.bias is missing"):
        losses.Perceptual(path)


def test_keypoints_that_lie_together_are_pushed_apart() -> None:
    together = torch.zeros(1, 2, 3)
    apart = torch.tensor([[[-0.5, 0, 0], [0.5, 0, 0]]])
    assert float(losses.keypoint_spread(together)) == pytest.approx(losses.NEAREST)
    assert float(losses.keypoint_spread(apart)) == pytest.approx(0, abs=1e-7)


def test_a_critic_that_knows_loses_nothing() -> None:
    def judged(score: float) -> list[critic.Judged]:
        return [critic.Judged([torch.full((1, 1), score)], torch.full((1, 1), score))]

    assert float(critic.critic_loss(judged(2.0), judged(-2.0))) == 0
    assert float(critic.critic_loss(judged(-1.0), judged(1.0))) == 4
    assert float(critic.matching_loss(judged(1.0), judged(0.5))) == 0.5
    assert float(critic.adversarial_loss(judged(0.5))) == -0.5
