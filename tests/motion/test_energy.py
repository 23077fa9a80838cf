import numpy as np
import pytest

from mdth.motion.energy import FLOOR_DB, Loudness


def loudness(blocks, fps):
    heard = Loudness(fps=fps)
    for block in blocks:
        yield from heard.feed(block)
    yield from heard.finish()


def blocks(samples, sizes):
    at = 0
    while at < len(samples):
        size = int(next(sizes))
        yield samples[at : at + size]
        at += size


@pytest.mark.parametrize("fps", [25.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize("count", [1, 4800, 16000, 16011, 16267, 40001])
def test_one_value_for_each_video_frame(fps, count):
    values = list(loudness([np.zeros(count, np.float32)], fps=fps))
    assert len(values) == max(1, round(count / 16000 * fps))


def test_chunks_do_not_matter():
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 50_000).astype(np.float32)
    whole = list(loudness([samples], fps=29.97))
    pieces = list(loudness(blocks(samples, iter(lambda: rng.integers(1, 3000), -1)), fps=29.97))
    np.testing.assert_array_equal(whole, pieces)


def test_level_is_in_db_of_full_scale_and_belongs_to_its_frame():
    tone = np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 800 * np.arange(16000) / 16000)
    tone[:8000] = 0
    values = np.array(list(loudness([tone], fps=25)))
    np.testing.assert_array_equal(values[:12], FLOOR_DB)
    np.testing.assert_allclose(values[13:], -20, atol=0.1)


def test_a_frames_level_comes_before_later_sound_is_asked_for():
    asked = []

    def stream():
        for index in range(10):
            asked.append(index)
            yield np.ones(640, np.float32)

    next(loudness(stream(), fps=25))
    assert asked == [0]


def test_no_sound_is_one_silent_frame():
    assert list(loudness([], fps=30)) == [FLOOR_DB]
