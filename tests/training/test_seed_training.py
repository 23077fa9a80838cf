"""Training FaceFormer: gradients of the numbers that inference gives, and runs that go on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra train)")
pytest.importorskip("scipy", reason="sounds are resampled by scipy (extra train)")

from mdth.errors import CheckpointError, InputError  # noqa: E402
from mdth.faceformer.config import BIWI, VOCASET, Config, EncoderConfig  # noqa: E402
from mdth.faceformer.encoder import Wav2Vec2  # noqa: E402
from mdth.faceformer.predictor import FaceFormer  # noqa: E402
from tests.support import faceformer_made_up as network_made_up  # noqa: E402
from tests.support import faceformer_plain as plain  # noqa: E402
from tests.support import made_up_sets  # noqa: E402
from tests.support.raising import raises  # noqa: E402
from torch_threads import one_thread  # noqa: E402, F401
from training import mesh_compare  # noqa: E402
from training.seed import forward, initial, predict, run, train, vocaset, wav2vec2  # noqa: E402
from training.seed import trainer as training  # noqa: E402
from training.seed.corpus import normalised, of_split  # noqa: E402
from training.seed.settings import STATE, Settings  # noqa: E402

TINY = EncoderConfig(
    hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
    conv_dim=(32,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
)  # fmt: skip
SIZES = made_up_sets.Sizes(vertices=20, subjects=2, sentences=8, duration_s=1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> vocaset.Vocaset:
    folder = tmp_path_factory.mktemp("vocaset")
    made_up_sets.make_vocaset(folder, SIZES)
    found = vocaset.Vocaset(folder)
    found.config = dataclasses.replace(found.config, encoder=TINY)
    return found


def trainer(corpus: vocaset.Vocaset, **settings: object) -> training.Trainer:
    network = initial.fresh_network(corpus.config, random_seed=0, wav2vec2=None)
    return training.Trainer(corpus, network, Settings(**settings))  # type: ignore[arg-type]


@pytest.fixture(params=[VOCASET, BIWI], ids=lambda config: config.dataset)
def network(request: pytest.FixtureRequest):
    config = dataclasses.replace(request.param, encoder=TINY, vertices=20)
    return network_made_up.network(config)


def test_unrolled_is_what_inference_computes(network) -> None:
    tokens, width = network.config.tokens_per_frame, network.config.width
    memory = torch.randn(40 * tokens, width)
    with torch.no_grad():
        found = forward.unrolled(network, memory, 1)
    expected = plain.offsets(network, memory[None], 1)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_unrolled_told_everything_is_taught(network) -> None:
    """The two ways meet where every frame hears the truth; and differ where none does."""
    tokens, width = network.config.tokens_per_frame, network.config.width
    memory, truth = torch.randn(35 * tokens, width), torch.randn(35, 60)
    with torch.no_grad():
        taught = forward.taught(network, memory, truth, 2)
        told = forward.unrolled(network, memory, 2, truth=truth, told=torch.ones(35).bool())
        alone = forward.unrolled(network, memory, 2, truth=truth, told=torch.zeros(35).bool())
    assert (taught - told).abs().max() < 1e-5 * taught.abs().max()
    assert (taught - alone).abs().max() > 1e-2 * taught.abs().max()


def test_gradients_reach_all_but_the_frozen_convolutions(corpus: vocaset.Vocaset) -> None:
    made = trainer(corpus, masked=0.3)
    torch.nn.init.normal_(made.network.vertice_map_r.weight, std=0.01)
    made.loss(made.lesson(made.clips[0])).backward()
    without = {name for name, w in made.network.named_parameters() if w.grad is None}
    cnn = "audio_encoder.feature_extractor."
    assert without == {name for name in made.network.state_dict() if name.startswith(cnn)}
    whole = trainer(corpus, train_cnn=True, masked=0.3)
    torch.nn.init.normal_(whole.network.vertice_map_r.weight, std=0.01)
    whole.loss(whole.lesson(whole.clips[0])).backward()
    assert all(weight.grad is not None for weight in whole.network.parameters())


@pytest.mark.parametrize("feedback", ["own", "taught", "scheduled"])
def test_going_on_is_never_stopping(feedback: str, corpus: vocaset.Vocaset, tmp_path: Path) -> None:
    """Dropout, masks, the shuffle and Adam included: bit for bit."""
    settings = {"feedback": feedback, "schedule_steps": 5, "rate": 1e-3}
    once = trainer(corpus, **settings)
    training.train(once, tmp_path / "once", training.Times(4, score_every=3))
    for steps in (1, 3, 4):
        again = trainer(corpus, **settings)
        torch.rand(7 if steps > 1 else 0)
        training.train(again, tmp_path / "parts", training.Times(steps, score_every=3))
    for name, weight in once.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name]), name
    with pytest.raises(InputError, match="rate"):
        other = trainer(corpus, **settings | {"rate": 1.0})
        training.train(other, tmp_path / "parts", training.Times(9))


def test_a_damaged_state_is_named(corpus: vocaset.Vocaset, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match=r"run\.pt"):
        training.train(trainer(corpus), tmp_path, training.Times(1))


def test_held_out_sentences_beat_the_mean_face(corpus: vocaset.Vocaset, tmp_path: Path) -> None:
    """New speakers, new sentences; the weights then serve as a published file does."""
    made = trainer(corpus, feedback="taught", rate=1e-3, decay_steps=300, masked=0.0)
    last = training.train(made, tmp_path, training.Times(300, score_every=100))
    scores = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert scores[-1]["training"] < scores[0]["training"] / 10
    assert last["predicted"] < 0.7 * last["mean face"]
    served = FaceFormer.load(tmp_path / run.WEIGHTS)
    assert served.config == corpus.config
    clip = of_split(corpus, "test")[0]
    template = corpus.templates[clip.subject]
    meshes = served.vertices(normalised(corpus.sound(clip)), template, 0)
    predicted, truth = made.predict(clip)
    moved = (meshes - template).reshape(len(meshes), -1)
    np.testing.assert_allclose(moved[: len(truth)], predicted.numpy(), atol=1e-5)


def test_own_feedback_lowers_the_loss(corpus: vocaset.Vocaset) -> None:
    made = trainer(corpus, rate=3e-4, masked=0.0)
    losses = [made.step() for _ in range(40)]
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])


@pytest.mark.parametrize("feedback", ["own", "taught"])
def test_half_precision(feedback: str, corpus: vocaset.Vocaset, monkeypatch) -> None:
    """bfloat16 where autocast allows it, as on a GPU: nearly the same loss, finite gradients."""
    made = trainer(corpus, feedback=feedback, train_cnn=True)
    torch.nn.init.normal_(made.network.vertice_map_r.weight, std=0.01)
    lesson = made.lesson(made.clips[0])
    torch.manual_seed(1)
    whole = made.loss(lesson).item()
    monkeypatch.setattr(made, "_autocast", lambda: torch.autocast("cpu", torch.bfloat16))
    torch.manual_seed(1)
    half = made.loss(lesson)
    half.backward()
    assert half.item() == pytest.approx(whole, rel=0.01) and half.item() != whole
    assert all(weight.grad.isfinite().all() for _, weight in learnt(made))


def learnt(made: training.Trainer):
    return [(name, w) for name, w in made.network.named_parameters() if w.grad is not None]


def test_the_share_of_truth_falls(corpus: vocaset.Vocaset) -> None:
    made = trainer(corpus, feedback="scheduled", schedule_steps=4, rate=1e-3, decay_steps=4)
    shares = []
    for made.trained.step in range(6):
        shares.append((made._told(), made.settings.rate_at(made.trained.step)))
    assert [share for share, _ in shares] == [1, 0.75, 0.5, 0.25, 0, 0]
    assert [round(1e3 * rate, 3) for _, rate in shares] == [1, 0.854, 0.5, 0.146, 0, 0]


def test_hidden_spans() -> None:
    torch.manual_seed(0)
    hidden = forward.spans(20_000, 0.05)
    assert hidden.float().mean() == pytest.approx(0.05, abs=0.01)
    assert hidden.sum() / (hidden[1:] & ~hidden[:-1]).sum() >= forward.MASK_TOKENS


@pytest.mark.parametrize("config", [VOCASET, BIWI], ids=lambda config: config.dataset)
def test_written_names_and_shapes_are_the_published_ones(config: Config) -> None:
    from mdth.faceformer.network import Network

    table = Path(__file__).parents[1] / "data" / f"faceformer_{config.dataset}_keys.tsv"
    rows = (line.split("\t") for line in table.read_text().splitlines())
    expected = {name: tuple(map(int, shape.split("x"))) for name, shape in rows}
    # Full size without its memory: tensors of which one number is stored.
    with torch.device("meta"):
        network = Network(config)
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            shared = torch.zeros(1).expand(weight.shape)
            setattr(module, name, torch.nn.Parameter(shared, requires_grad=False))
    state = run.published_state(network)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


def published_encoder(prefix: str = "") -> dict[str, torch.Tensor]:
    """As today's files name it, with heads for other tasks beside it."""
    torch.manual_seed(3)
    encoder = Wav2Vec2(TINY)
    weights = {prefix + name: torch.randn_like(w) for name, w in encoder.state_dict().items()}
    place = f"{prefix}encoder.pos_conv_embed.conv."
    weights[f"{place}parametrizations.weight.original0"] = weights.pop(f"{place}weight_g")
    weights[f"{place}parametrizations.weight.original1"] = weights.pop(f"{place}weight_v")
    return weights | {"lm_head.weight": torch.zeros(3, 3), "quantizer.codevectors": torch.zeros(2)}


@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
@pytest.mark.parametrize("kind", wav2vec2.FILES)
def test_encoder_from_published_weights(kind: str, prefix: str, tmp_path: Path) -> None:
    weights = published_encoder(prefix)
    if kind.endswith("safetensors"):
        pytest.importorskip("safetensors.torch").save_file(weights, tmp_path / kind)
    else:
        torch.save(weights, tmp_path / kind)
    for source in (tmp_path, tmp_path / kind):
        encoder = Wav2Vec2(TINY)
        wav2vec2.load_encoder(encoder, str(source))
        name = "encoder.layers.0.attention.q_proj.weight"
        assert torch.equal(encoder.state_dict()[name], weights[prefix + name])
        place = "encoder.pos_conv_embed.conv."
        found = encoder.state_dict()[f"{place}weight_v"]
        assert torch.equal(found, weights[f"{prefix}{place}parametrizations.weight.original1"])


def test_encoder_of_another_size(tmp_path: Path) -> None:
    torch.save(published_encoder(), tmp_path / "pytorch_model.bin")
    other = Wav2Vec2(dataclasses.replace(TINY, intermediate_size=8))
    raises(CheckpointError, "not this size", wav2vec2.load_encoder, other, str(tmp_path))
    raises(CheckpointError, "none of", wav2vec2.weights_path, str(tmp_path.parent))
    raises(CheckpointError, "no such", wav2vec2.weights_path, str(tmp_path / "nothing.bin"))


def test_from_the_command_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made_up_sets.main(["biwi", str(tmp_path / "set"), "--vertices", "10", "--subjects", "1",
                  "--sentences", "3", "--duration-s", "1"])  # fmt: skip
    options = "--encoder small --feedback taught --device cpu --score-every 1".split()
    command = ["biwi", str(tmp_path / "set"), str(tmp_path / "run"), *options]
    train.main([*command, "--steps", "1"])
    train.main([*command, "--steps", "2"])
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert [score["step"] for score in scores["scores"]] == [1, 2]
    assert FaceFormer.load(tmp_path / "run/faceformer.pth").config.names == ("F2",)
    written = ["biwi", str(tmp_path / "set"), str(tmp_path / "run/faceformer.pth")]
    predict.main([*written, str(tmp_path / "out"), "--split", "test", "--style", "all"])
    names = sorted(path.name for path in (tmp_path / "out/predicted").iterdir())
    assert names == ["F1_e37.npz", "F2_e37.npz"]
    folders = [str(tmp_path / "out" / part) for part in ("predicted", "true")]
    regions = ["--lips", str(tmp_path / "set/lips.txt"), "--upper", str(tmp_path / "set/upper.txt")]
    with caplog.at_level("INFO", logger="mdth"):
        mesh_compare.main([*folders, *regions, "--sounds", str(tmp_path / "out/sounds")])
    assert "lips, 2 vertices" in caplog.text and "lip speed in speech" in caplog.text
    raises(InputError, "--tracks", train.main, ["tracked", str(tmp_path), str(tmp_path / "b")])
