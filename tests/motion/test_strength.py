import numpy as np

from mdth.motion.voice import STEP_HZ, Voice


def tone(level_db, seconds):
    time = np.arange(round(16000 * seconds)) / 16000
    return (np.sqrt(2) * 10 ** (level_db / 20) * np.sin(2 * np.pi * 200 * time)).astype(np.float32)


def test_the_loudest_is_1_and_silence_is_0():
    strength = Voice().feed(np.concatenate([tone(-20, 2), np.zeros(32000, np.float32)]))
    assert len(strength) == 4 * STEP_HZ
    assert min(strength[5:50]) > 0.95
    assert max(strength[70:]) == 0


def test_quiet_and_loud_recordings_are_alike():
    sound = np.concatenate([tone(level, 0.2) for level in (-20, -32, -25, -40, -22)] * 4)
    plain, louder, quieter = (np.array(Voice().feed(sound * gain)) for gain in (1, 4, 0.1))
    np.testing.assert_allclose(louder, plain, atol=1e-3)
    np.testing.assert_allclose(quieter, plain, atol=1e-3)


def test_hiss_alone_is_no_voice():
    hiss = np.random.default_rng(0).normal(0, 10 ** (-85 / 20), 32000).astype(np.float32)
    assert max(Voice().feed(hiss)) == 0


def test_blocks_of_any_size_give_the_same_and_none_waits():
    sound = np.concatenate([tone(level, 0.3) for level in (-20, -35, -25)])
    voice, sizes = Voice(), [1, 638, 1, 640, 3000, 37, 10_083]
    pieces = [voice.feed(part) for part in np.split(sound, np.cumsum(sizes))]
    assert [len(piece) for piece in pieces[:5]] == [0, 0, 1, 1, 4]
    np.testing.assert_array_equal(np.concatenate(pieces), Voice().feed(sound))
