"""Many people's clips as one training set, on faces with planted motion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from mdth.artefacts import FloatArray  # noqa: E402
from mdth.face import geometry, topology  # noqa: E402
from tests.support import people_made_up as made_up  # noqa: E402
from training import kokoro, measures, people, rig  # noqa: E402
from training.bank import SCHEME, Bank, at_times, score_bank  # noqa: E402
from training.score import correlation  # noqa: E402

RNG = np.random.default_rng(0)
PER_S = 25.0


def wave(count: int, periods_s: tuple[float, ...], fps: float = PER_S) -> FloatArray:
    """Sums of sines from 0 to 1, [count]."""
    times = np.arange(count)[:, None] / fps
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * times / periods_s).mean(axis=1))


def test_measures_change_as_their_linear_form_says() -> None:
    apart = made_up.neutral_face() + 0.1 * made_up.planted_basis()[0]
    basis = 1e-4 * RNG.standard_normal((9, topology.VERTEX_COUNT, 3))
    changed = measures.predicted(np.eye(9), basis, apart) - measures.measures(apart)
    expected = measures.linear(basis)
    assert changed[:, 2:] == pytest.approx(expected[:, 2:], abs=1e-9)
    assert changed[:, :2] == pytest.approx(expected[:, :2], abs=3e-5)


def test_what_a_turn_does_goes_and_speech_stays() -> None:
    yaw, spoken = 20 * wave(300, (3.1,)), 0.1 * wave(300, (0.31, 0.47))
    turns = np.stack([geometry.rotation_from_euler_deg(angle, 0, 0) for angle in yaw])
    faces = made_up.neutral_face() + spoken[:, None, None] * made_up.planted_basis()[0]
    dragged = faces + 0.004 * yaw[:, None, None] * made_up.planted_basis()[1]
    clean = measures.measures(people.without_pose(dragged, turns))
    assert measures.measures(dragged)[:, 1].std() > 0.02
    assert clean[:, 1].std() < 0.001
    assert correlation(clean[:, 0], spoken) > 0.99
    assert clean[:, 0].std() == pytest.approx(spoken.std(), rel=0.03)


def test_the_neutral_face_is_that_with_the_lips_nearest() -> None:
    gaps = np.tile([0.004, 0.1, 0.12, 0.09, 0.2], 40)
    faces = made_up.neutral_face() + gaps[:, None, None] * made_up.planted_basis()[0]
    assert geometry.lip_opening(people.neutral_of(faces)) == pytest.approx(0.004)
    never = faces[gaps > 0.05]
    assert geometry.lip_opening(people.neutral_of(never)) == pytest.approx(0.09)


def test_a_gain_scales_its_measures_with_what_goes_along() -> None:
    made = made_up.people()
    rows = np.concatenate([clip.coefficients for clip in made.clips])
    ways = people.Ways.of(made.basis, rows)
    spoken, wide = (rows @ ways.measures).T, (rows @ ways.gain(np.array([2.0, 0.5])))
    assert (wide @ ways.measures).T == pytest.approx(spoken * [[2.0], [0.5]], abs=1e-6)
    added = wide - rows
    assert np.polyfit(rows[:, 0], added[:, 6], 1)[0] == pytest.approx(0.5, abs=0.05)
    assert np.abs(added[:, 7]).max() < 0.02


def source(folder: Path, person: str, opens: float, use: str = "train", **more: object):  # type: ignore[no-untyped-def]
    """A tracked clip of somebody who opens so far and turns the head, with its sound."""
    rows = opens * np.stack([wave(200, (0.31, 0.47)), 0.7 * wave(200, (0.6, 0.83))], axis=1)
    faces = made_up.neutral_face() + np.tensordot(rows, made_up.planted_basis()[:2], axes=1)
    if use == "choose":  # somebody with another face
        faces = faces * [1.0, 1.2, 1.0]
    yaw = 5 * wave(200, (2.0,))
    turn = np.stack([geometry.rotation_from_euler_deg(angle, 0, 0) for angle in yaw])
    pose = geometry.Pose(np.full(200, 90.0), turn, np.full((200, 3), 256.0))
    mesh = geometry.to_picture(faces, pose).astype(np.float32)
    np.savez(folder / f"{person}.npz", mesh=mesh, found=np.ones(200, bool), fps=PER_S)
    kokoro.write_wav(folder / f"{person}.wav", RNG.normal(0, 0.1, 128_000), 16_000)
    return people.Source(folder / f"{person}.wav", folder / f"{person}.npz", person, use, **more)


def test_everybody_opens_and_widens_as_the_usual_person(tmp_path: Path) -> None:
    sources = [source(tmp_path, "shy", 0.12, lag_s=0.04), source(tmp_path, "broad", 0.25)]
    sources += [source(tmp_path, "s1", 0.2, words=(1.0, 3.0), marks=(1.2,))]
    made = people.build(sources)
    shy, broad, cut = (next(c for c in made.clips if c.person == s.person) for s in sources)
    for clip in (shy, broad):
        spread = (clip.coefficients @ measures.linear(made.basis))[:, :2].std(axis=0)
        assert spread == pytest.approx([people.USUAL_OPENING, people.USUAL_WIDTH], rel=0.01)
        assert geometry.lip_opening(clip.neutral) < 0.02
    assert broad.measures[:, 0].std() == pytest.approx(2.1 * shy.measures[:, 0].std(), rel=0.1)
    assert len(shy.sound) == len(broad.sound) + 640 and not shy.sound[:640].any()
    assert len(cut.sound) == len(cut.coefficients) * 640 == len(cut.measures) * 640
    assert len(cut.measures) == 60 and cut.marks == pytest.approx([1.2 - 0.68])
    # The faces of a clip for measuring shape nothing that is learnt.
    measured = people.build([*sources, source(tmp_path, "anna", 0.2, "choose")])
    assert np.array_equal(measured.basis, made.basis)
    measured.save(tmp_path / "people.npz")
    again = people.People.load(tmp_path / "people.npz")
    assert again.of("choose")[0].name == "anna"
    assert np.array_equal(again.of("train")[1].coefficients, measured.of("train")[1].coefficients)


def test_lags_are_believed_of_clips_for_training_that_fit_their_sound(tmp_path: Path) -> None:
    rows = ["use file identity lag_ms r", "train a.mp4 g1 -10 0.6", "train b.mp4 g1 -10 0.3"]
    rows += ["choose c.mp4 r1 -10 0.6", "train d.mp4 g2 300 0.6", "train lost.mp4 g2 0 0.6"]
    (tmp_path / "clips.tsv").write_text("\n".join(rows).replace(" ", "\t"), "utf-8")
    for name in "abcd":
        (tmp_path / f"{name}.npz").touch()
    found = people.talk_sources(tmp_path, tmp_path)
    assert [s.lag_s for s in found] == pytest.approx([0.03, 0, 0, people.LAG_MOST_MS / 1000])
    assert [s.person for s in found] == ["g1", "g1", "r1", "g2"]


def said_in_windows(truth: FloatArray, fps: float) -> FloatArray:
    """Rows [W,T,K] that a decoder which knows the truth [N,K] says in each window."""
    first = SCHEME.last_window(0.0) - 1
    windows = range(first, SCHEME.last_window(len(truth) / fps) + 1)
    starts = np.array([SCHEME.start(window) for window in windows])
    at_s = (starts[:, None] + 384 * np.arange(SCHEME.frames) + 448) / 16_000
    found = [np.interp(at_s, np.arange(len(truth)) / fps, track) for track in truth.T]
    return np.stack(found, axis=-1)


def test_a_rig_rests_in_its_pauses_as_people_do() -> None:
    clip = made_up.clip("rig", "rig", np.zeros((100, 8)))
    sound = RNG.normal(0, 3000, len(clip.sound)).astype(np.int16)
    sound[32_000:40_000], sound[48_000:49_600] = 0, 0  # half a second, and a closure
    rows = rig.rested(replace(clip, sound=sound), np.ones((100, 8))).coefficients[:, 0]
    assert rows[52:61].min() > 0.99 and rows[:44].max() == 0 == rows[66:].max()


def test_a_rig_is_mapped_on_our_faces_and_its_lag_found() -> None:
    fps = 30.0
    weights = np.stack([wave(900, (0.4 + 0.07 * i, 1.1 - 0.09 * i), fps) for i in range(6)], axis=1)
    faces = weights @ RNG.normal(0, 0.05, (6, made_up.COMPONENTS))
    rows = said_in_windows(faces + 0.1, fps)
    late = np.roll(weights, 2, axis=0)
    lag_s = rig._lag([rows], [late], fps, made_up.people())
    assert lag_s == pytest.approx(2 / fps, abs=0.012)
    said = rig._said(rows, 900, fps, 2 / fps)
    assert said[10:-10] == pytest.approx(np.roll(faces, 2, axis=0)[10:-10] + 0.1, abs=0.01)
    (found,) = rig.mapped([np.c_[late, np.zeros(900)]], [said])
    assert found[10:-10] == pytest.approx(np.roll(faces, 2, axis=0)[10:-10], abs=0.01)


def test_a_bank_scores_what_is_said_at_the_clips_own_times() -> None:
    import torch

    rows = np.stack([wave(250, (0.7 + 0.1 * i,)) for i in range(made_up.COMPONENTS)], axis=1)
    rows *= 0.02
    made = made_up.people([made_up.clip("c", "anna", rows, "choose")])
    network = torch.nn.Identity()
    network.scale = torch.zeros(1)
    bank = Bank({"c": said_in_windows(np.roll(rows, 1, axis=0), PER_S)})
    assert at_times(bank.heard["c"], np.array([4.0]))[0] == pytest.approx(rows[99], abs=5e-4)
    scores = score_bank(network, bank, made)["choose"]  # type: ignore[arg-type]
    assert scores["lag_ms"] == pytest.approx(40, abs=3)
    assert scores["opening at its lag"] > 0.99 > scores["opening"]  # type: ignore[operator]
