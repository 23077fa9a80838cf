"""A step costs the same however much came before; a GPU's gives its numbers in fixed shapes."""

import dataclasses
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from benchmarks import faceformer_gpu as gpu_bench  # noqa: E402
from mdth.errors import DeviceError  # noqa: E402
from mdth.faceformer.config import BIWI, VOCASET, EncoderConfig  # noqa: E402
from mdth.faceformer.decoder import Decoder  # noqa: E402
from mdth.faceformer.predictor import FaceFormer  # noqa: E402
from mdth.faceformer.static import StaticDecoder, room_for  # noqa: E402
from tests.support import faceformer_made_up as made_up  # noqa: E402
from tests.support import faceformer_plain as plain  # noqa: E402

SMALL = EncoderConfig(num_hidden_layers=0, hidden_size=48, intermediate_size=8)


@pytest.fixture(scope="module", params=[VOCASET, BIWI], ids=lambda config: config.dataset)
def network(request: pytest.FixtureRequest):
    return made_up.network(dataclasses.replace(request.param, encoder=SMALL, vertices=100))


def speech_of(network, frames: int):
    return torch.randn(frames * network.config.tokens_per_frame, network.config.width)


def test_static_is_what_the_growing_step_computes(network) -> None:
    """Past a block of 256 frames and several periods, in one call or in uneven ones."""
    speech, tokens = speech_of(network, 600), network.config.tokens_per_frame
    with torch.inference_mode():
        expected = Decoder(network, 2).frames(speech)
        whole = StaticDecoder(network, 2).frames(speech)
        parts = StaticDecoder(network, 2)
        cut = torch.cat([parts.frames(part) for part in speech.split(37 * tokens)])
    assert (whole - expected).abs().max() < 1e-6 * expected.abs().max() + 1e-6
    assert torch.equal(cut, whole)


def test_room_grows_and_is_used_again(network) -> None:
    speech, tokens = speech_of(network, 400), network.config.tokens_per_frame
    with torch.inference_mode():
        expected = Decoder(network, 0).frames(speech)
        decoder = StaticDecoder(network, 0, room=16)
        found = torch.cat([decoder.frames(part) for part in speech.split(10 * tokens)])
        assert decoder.step.room == 512
        decoder.begin()
        again = decoder.frames(speech)
    for one in (found, again):
        assert (one - expected).abs().max() < 1e-6 * expected.abs().max() + 1e-6


def test_rooms() -> None:
    assert [room_for(frames) for frames in (1, 256, 257, 1024, 1025)] == [256, 256, 512, 1024, 2048]


class Operations(TorchDispatchMode):
    """Operations and the shapes of their results, in order; reading a number is noted too.

    largest: the numbers in the largest result of any, views of what was given apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple] = []
        self.largest = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else None
        self.seen.append((str(operation), shape))
        given = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        if shape is not None and found.untyped_storage().data_ptr() not in given:
            self.largest = max(self.largest, found.numel())
        return found


def test_every_step_is_the_same_to_the_device(network) -> None:
    """What a recording needs: equal operations and shapes, and no value that the host reads."""
    decoder = StaticDecoder(network, 0)
    steps = []
    with torch.inference_mode():
        for frames in (1, 1, 60, 1):
            decoder.frames(speech_of(network, frames - 1)) if frames > 1 else None
            decoder.step.hear(tuple(decoder.step.crossed.tables(speech_of(network, 1))))
            with Operations() as operations:
                decoder.step.once()
            decoder.done += 1
            steps.append(operations.seen)
    assert all(step == steps[0] for step in steps)
    assert not [name for name, _ in steps[0] if "_local_scalar_dense" in name or "item" in name]


def test_a_late_growing_step_does_what_an_early_one_does(network) -> None:
    """Beyond one score per head and past frame, nothing grows; seconds: `bench steps`."""
    steps = {}
    with torch.inference_mode():
        decoder = Decoder(network, 0)
        for done in (10, 2_000):
            decoder.frames(speech_of(network, done - decoder.done))
            speech = speech_of(network, 1)
            with Operations() as steps[done]:
                decoder.frames(speech)
    names = [[name for name, _ in step.seen] for step in steps.values()]
    assert names[0] == names[1]
    assert steps[2_000].largest <= max(4 * 2_001, 4 * network.config.width)


def test_kept_is_what_plain_recomputes(network) -> None:
    speech, tokens = speech_of(network, 40), network.config.tokens_per_frame
    with torch.inference_mode():
        decoder = Decoder(network, 3)
        hidden = [decoder.frames(part) for part in speech.split(8 * tokens)]
        found = network.vertice_map_r(torch.cat(hidden))
    expected = plain.offsets(network, speech[None], 3)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_keys_outgrow_their_first_room(network, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = speech_of(network, 40)
    with torch.inference_mode():
        expected = Decoder(network, 0).frames(speech)
        monkeypatch.setattr("mdth.faceformer.decoder.FIRST_CAPACITY", 4)
        found = Decoder(network, 0).frames(speech)
    assert torch.allclose(found, expected, atol=1e-6)


def test_predictor_with_recorded_steps(reference, model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way a GPU goes, taken on the CPU: the vectors' numbers, and decoders used again."""
    monkeypatch.setattr("mdth.faceformer.predictor.is_recorded", lambda device: True, raising=True)
    static = FaceFormer(model.network)
    for _ in range(2):
        for clip in reference.clips.values():
            found = static.vertices(clip.samples, clip.template, clip.subject)
            assert abs(found - clip.vertices).max() < 1e-5
    assert 1 <= len(static._recorded) <= 4
    clip = reference.clips["short"]
    long, expected = (
        one.vertices(clip.samples, clip.template, clip.subject, whole_clip_s=0.0)
        for one in (static, model)
    )
    assert abs(long - expected).max() < 1e-5


def test_the_gpu_bench_says_that_it_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no GPU"):
        gpu_bench.run(VOCASET, [10.0])


def test_the_gpu_bench_from_end_to_end(
    network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On the CPU in the GPU's place, so that its first run on a GPU meets no slip of ours."""
    monkeypatch.setattr(gpu_bench, "DEVICE", "cpu")
    monkeypatch.setattr("mdth.faceformer.predictor.is_recorded", lambda device: True)
    for name in ("is_available", "get_device_name", "synchronize", "set_sync_debug_mode"):
        monkeypatch.setattr(torch.cuda, name, lambda *given: True)
    encoder = dataclasses.replace(SMALL, conv_dim=(16,) * 7)
    config = dataclasses.replace(network.config, encoder=encoder)
    monkeypatch.setattr(gpu_bench, "COMPARED_S", 2.0)
    with caplog.at_level("INFO", logger="mdth"):
        gpu_bench.run(config, [1.0])
    assert "replayed against told steps: off by 0.0e+00" in caplog.text
    assert "no step waits for the host" in caplog.text
    assert "1 s of sound: plain" in caplog.text
    monkeypatch.setattr(gpu_bench, "TOLERANCE", 0.0)
    with pytest.raises(DeviceError, match="off by"):
        gpu_bench.run(config, [])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(network) -> None:
    speech = speech_of(network, 300)
    with torch.inference_mode():
        expected = Decoder(network, 0).frames(speech)
        found = StaticDecoder(network.to("cuda"), 0).frames(speech.to("cuda")).cpu()
        network.to("cpu")
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


class Recording:
    """Stands for a CUDA graph: remembers how many steps were taken while it was recorded."""

    current: "StaticDecoder"
    replays: dict[int, int]

    def __init__(self) -> None:
        self.steps = 0

    def replay(self) -> None:
        self.replays[self.steps] = self.replays.get(self.steps, 0) + 1
        for _ in range(self.steps):
            self.current.step.once()


def test_blocks_are_made_of_both_recordings(network, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 frames are blocks of 256, 256 and 88: 37 recordings of 16 steps and 8 of one."""
    decoder = StaticDecoder(network, 0, room=1024)
    Recording.current, Recording.replays = decoder, {}

    @contextmanager
    def record(graph: Recording, *, capture_error_mode: str):
        assert capture_error_mode == "thread_local"
        before = int(decoder.step.now)
        yield
        graph.steps = int(decoder.step.now) - before

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, stand_in in (
        ("device", lambda device: nullcontext()),
        ("Stream", lambda: stream),
        ("stream", lambda side: nullcontext()),
        ("current_stream", lambda: stream),
        ("CUDAGraph", Recording),
        ("graph", record),
    ):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    speech = speech_of(network, 600)
    with torch.inference_mode():
        expected = Decoder(network, 0).frames(speech)
        decoder.step._record()
        decoder.begin()
        found = decoder.frames(speech)
    assert Recording.replays == {16: 16 + 16 + 5, 1: 8}
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max() + 1e-6
