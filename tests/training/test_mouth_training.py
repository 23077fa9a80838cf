"""Training the mouth network, small: batches, losses, steps, checkpoints, the written network."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
pytest.importorskip("onnx", reason="onnx is not installed (extra `train`)")

from mdth.embedded.render.conditions import CHANNELS  # noqa: E402
from mdth.embedded.render.mouth_network import MouthNetwork as Runtime  # noqa: E402
from mdth.embedded.render.tone import Tone  # noqa: E402
from mdth.files import networks  # noqa: E402
from training import mouth_batches  # noqa: E402
from training.mouth_bank import Samples  # noqa: E402
from training.mouth_batches import Banks, beside_darker_skin, jitter, relight  # noqa: E402
from training.mouth_export import ship, trained  # noqa: E402
from training.mouth_network import MouthNetwork  # noqa: E402
from training.mouth_trainer import Trainer, change_loss, energy_loss, losses, region  # noqa: E402

SIZE = (16, 24)


def samples(count: int, seed: int = 0, each: int = 1) -> Samples:
    """Smooth random samples of two people whose aim is a shade of the drawing, each so often."""
    random = np.random.default_rng(seed)
    small = random.uniform(-0.7, 0.7, (count, CHANNELS + 3, SIZE[0] // 8, SIZE[1] // 8))
    planes = np.kron(small, np.ones((8, 8)))
    planes[:, 3] = 0
    planes[:, 3, 3:13, 4:20] = 1
    planes[:, CHANNELS:] = 0.6 * planes[:, 4:7] - 0.2
    planes = np.repeat(planes, each, 0).astype(np.float16)
    return Samples(planes, np.arange(len(planes)) // each % 2, np.ones(len(planes), bool))


def test_losses_look_inside_the_lips_alone() -> None:
    true = torch.zeros(2, 3, 8, 8)
    painted = torch.ones(2, 3, 8, 8)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, :4] = 1
    painted[:, :, 4:] = 50
    colour, edges = losses(painted, true, mask)
    assert float(colour) == pytest.approx(1)
    assert float(edges) == pytest.approx(0)
    assert float(energy_loss(painted, true, mask)) < 1


def test_sharpness_is_compared_wherever_an_edge_lies() -> None:
    mask = torch.ones(1, 1, 16, 16)
    true = torch.zeros(1, 3, 16, 16)
    true[..., 2] = 1
    aside = true.roll(2, -1)
    assert float(energy_loss(aside, true, mask)) < 0.1 * float(energy_loss(true * 0, true, mask))


def test_what_is_around_the_lips_counts_where_it_is_true() -> None:
    mask = torch.zeros(2, 1, 80, 128)
    mask[:, :, 30:50, 40:90] = 1
    where = region(mask, torch.tensor([1.0, 0.0]))
    assert torch.equal(where[1], mask[1])
    assert 0 < where[0, 0, 26, 60] < 1 and where[0, 0, 10, 60] == 0


def test_change_loss_is_zero_for_the_true_change_and_a_constant_error() -> None:
    mask = torch.ones(4, 1, 8, 8)
    true = torch.rand(4, 3, 8, 8)
    assert float(change_loss(true + 0.3, true, mask)) == pytest.approx(0, abs=1e-6)
    popped = true.clone()
    popped[1] += 0.5
    assert float(change_loss(popped, true, mask)) == pytest.approx(0.25, abs=1e-3)


def test_batches_keep_pairs_alike_and_true_to_their_aim() -> None:
    banks = Banks({"london": samples(8), "talk": samples(6, 1, 2)}, "cpu")
    torch.manual_seed(0)
    drawn = banks.draw(20)
    batch = drawn.planes
    assert batch.shape[1:] == (CHANNELS + 3, *SIZE)
    assert drawn.pairs == 5
    assert torch.equal(batch[-10::2], batch[-9::2]), "equal pairs are moved and relit alike"
    assert not torch.equal(batch[0], batch[1])
    assert batch[:, [0, 1, 2, 4, 5, 6]].abs().max() <= 1


def test_anothers_mouth_is_no_model_of_sharpness() -> None:
    lent = samples(6, 1, 2)._replace(around=np.zeros(12, bool))
    drawn = Banks({"london": samples(8), "crossed": lent, "talk": samples(6, 2, 2)}, "cpu").draw(30)
    assert drawn.lent.any() and not (drawn.lent & drawn.around).any()
    assert not drawn.lent[: -2 * drawn.pairs].any()


def test_light_keeps_black_and_white() -> None:
    batch = torch.zeros(6, CHANNELS + 3, *SIZE)
    batch[:3, :3] = -1
    batch[3:, :3] = 1
    lit = relight(batch, torch.arange(6))
    assert torch.allclose(lit[:, :3], batch[:, :3], atol=1e-5)
    assert lit[:, CHANNELS:].std() > 0.05, "and changes what lies between"


def test_beside_darker_skin_teeth_are_lighter_and_nothing_else_changes(monkeypatch) -> None:
    monkeypatch.setattr(mouth_batches, "DARKER", 1.0)
    torch.manual_seed(0)
    batch = torch.full((6, CHANNELS + 3, *SIZE), -0.1)
    batch[:, 3] = 0
    batch[:, 3, :, 8:] = 1
    batch[:, [5, 6, 15, 16], :, 12:] = -0.6  # flesh is red
    alike = torch.tensor([0, 1, 2, 3, 4, 4])
    made = beside_darker_skin(batch, alike)
    assert torch.equal(made[4], made[5]) and not torch.equal(made[0], made[1])
    kept = [*range(4), *range(7, 11)]
    assert torch.equal(made[:, kept], batch[:, kept])
    for start in (4, CHANNELS):
        colours = made[:, start : start + 3]
        assert (colours[..., 8:12] > -0.1).all() and colours[..., 8:12].max() > 0.2
        left = batch[:, start : start + 3]
        assert torch.allclose(colours[..., :8], left[..., :8], atol=1e-6)
        assert torch.allclose(colours[..., 12:], left[..., 12:], atol=1e-6)
    assert (made[:, 11:14] > -0.1).all()


def test_jitter_tells_the_scale() -> None:
    torch.manual_seed(1)
    batch = torch.zeros(4, CHANNELS + 3, *SIZE)
    batch[:, 10] = -0.5
    shift = jitter(batch, torch.arange(4))[:, 10, 0, 0] + 0.5
    assert shift.abs().max() < 0.12 and shift.std() > 0
    batch[:, 10] = 0.0
    assert jitter(batch, torch.arange(4))[:, 10].max() > 0.12, "and that larger ones are alike"


def test_an_untrained_network_shows_the_drawing() -> None:
    conditions = torch.rand(1, CHANNELS, *SIZE)
    conditions[:, 3] = 1
    conditions[:, 3, 5:] = 0
    shown = MouthNetwork()(conditions)
    assert torch.equal(shown[:, :, :5], conditions[:, 4:7, :5])
    assert torch.equal(shown[:, :, 5:], conditions[:, :3, 5:]), "and around it the face"


def test_training_learns_goes_on_and_is_written(tmp_path: Path, monkeypatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(mouth_batches, "GUESS", 0.0)
    banks = Banks({"london": samples(16), "talk": samples(8, 1, 2)}, "cpu")
    trainer = Trainer("cpu", ["a/one", "a/two"])
    losses = []
    for step in range(60):
        progress = 0.1 if step < 55 else 0.5
        losses.append(trainer.step(banks.draw(8), progress=progress))
    assert "critic" not in losses[0]
    assert "critic" in losses[-1]
    first, last = (np.mean([s["colour"] for s in part]) for part in (losses[:10], losses[40:55]))
    assert last < 0.85 * first
    path = tmp_path / "checkpoint.pt"
    trainer.save(path, progress=0.5)
    again = Trainer("cpu", ["a/one", "a/two"])
    assert (again.load(path), again.steps) == (0.5, 60)
    batch = banks.draw(8)
    torch.manual_seed(2)
    one = trainer.step(batch, progress=0.5)
    torch.manual_seed(2)
    two = again.step(batch, progress=0.5)
    assert all(float(one[name]) == pytest.approx(float(two[name]), rel=1e-4) for name in one)

    card = json.loads(
        ship(path, tmp_path, {"set": {"psnr": 1.0}}, ["a/two"]).with_suffix(".json").read_text()
    )
    assert card["scores"] == {"set": {"psnr": 1.0}}
    assert {"licence", "data", "commands", "config"} <= set(card)
    session, _ = networks.load("mouth", tmp_path)
    tone = Tone.of(np.array([200.0, 150.0, 120.0]))
    planes = np.random.default_rng(3).uniform(-1, 1, (CHANNELS, 80, 128)).astype(np.float32)
    network = trained(torch.load(path, weights_only=True), ["a/two"])
    assert np.abs(Runtime(session).paint(planes, tone) - network.paint(planes, tone)).max() < 0.05
