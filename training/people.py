"""Tracked clips of many people -> one training set of their sound and their mouths.

    python -m training.people work/people.npz --talk data/talk --grid data/grid --tracks work

What differs between people is taken out: each has one neutral face with shut lips (lips that rest a
little open in pauses stay so, as offsets), and offsets are scaled so that everybody's lips open and
widen as far as the usual person's. What turning the head does to the tracked face goes too, by a
regression on the pose within a clip. A network trained on it speaks for an average talker; how far
it opens and widens is set when it speaks.
"""

import csv
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.face import geometry
from training import command, talk
from training.dataset import (
    CLOSED_ENDS,
    CLOSED_STARTS,
    COMPONENTS,
    SHUT_GAP,
    component_weight,
    principal_components,
    project,
    read_sound,
    speech_weight,
)
from training.measures import linear, measures

log = logging.getLogger("mdth")

GRID_HELD_OUT = 40
# Standard deviations to which everybody's opening and width are scaled, eye distances; about the
# medians over real people.
USUAL_OPENING, USUAL_WIDTH = 0.044, 0.034
MOST_SCALING = 2.2
# `lag_ms` of clips.tsv is measured with a model that is late on unknown voices; its median over
# clips stands for none. Below this correlation it is not known.
USUAL_LAG_MS, LAG_MOST_MS, LAG_KNOWN_R = -40.0, 60.0, 0.4
# Clips shorter than this are too short for a regression on the pose.
POSE_FRAMES = 150
# Room kept around the words of a GRID sentence, whose silence has lips shut by instruction.
WORDS_MARGIN_S = (0.35, 0.10)


@dataclass(frozen=True)
class Clip:
    """One clip: who, what for (train, held, choose, last), sound int16 at 16 kHz, faces.

    coefficients [T,K] on the set's basis, fps; measures [T,6] as tracked (`training.measures`);
    neutral [478,3]; marks [M], times (s) of p, b and m, where known; trust: how well sound and lips
    go together, 0 to 1, by which it is trained on.
    """

    name: str
    person: str
    use: str
    sound: npt.NDArray[np.int16]
    coefficients: FloatArray
    fps: float
    measures: FloatArray
    neutral: FloatArray
    marks: FloatArray
    trust: float


@dataclass(frozen=True)
class People:
    """Clips, and the basis [K,478,3] of their offsets."""

    clips: list[Clip]
    basis: FloatArray

    def of(self, *uses: str) -> list[Clip]:
        """The clips of these uses."""
        return [clip for clip in self.clips if clip.use in uses]

    def save(self, file: Path) -> None:
        """Write one npz."""
        arrays = {
            f"{i}/{field}": np.asarray(value)
            for i, clip in enumerate(self.clips)
            for field, value in vars(clip).items()
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, basis=self.basis, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            count = len({key.split("/")[0] for key in arrays.files}) - 1
            clips = [
                Clip(*(_plain(arrays[f"{i}/{field}"]) for field in Clip.__dataclass_fields__))
                for i in range(count)
            ]
            return cls(clips, arrays["basis"])


def _plain(array: npt.NDArray[Any]) -> Any:
    return array.item() if array.ndim == 0 else array


@dataclass(frozen=True)
class Source:
    """A clip's file, its track, and when its words begin and end (s), where known."""

    clip: Path
    track: Path
    person: str
    use: str
    words: tuple[float, float] | None = None
    marks: tuple[float, ...] = ()
    trust: float = 1.0
    lag_s: float = 0.0


def talk_sources(folder: Path, tracks: Path) -> list[Source]:
    """Those of `talk/clips.tsv` that are tracked."""
    found = [
        Source(folder / "clips" / row["file"], tracks / f"{Path(row['file']).stem}.npz",
               row["identity"], row["use"], trust=float(row["r"]), lag_s=_lag_s(row))
        for row in talk.rows(folder)
    ]  # fmt: skip
    return [source for source in found if source.track.is_file()]


def _lag_s(row: dict[str, str]) -> float:
    """By how much a clip's lips are later than those of the usual clip, where that is known."""
    if row["use"] != "train" or float(row["r"]) < LAG_KNOWN_R:
        return 0.0
    return float(np.clip(float(row["lag_ms"]) - USUAL_LAG_MS, -LAG_MOST_MS, LAG_MOST_MS)) / 1000


def grid_sources(folder: Path, tracks: Path) -> list[Source]:
    """GRID's talker s1; the last ones by name are held out."""
    spans: dict[str, tuple[float, float]] = {}
    marks: dict[str, list[float]] = {}
    with (folder / "s1_words.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if row["word"] in ("sil", "sp"):
                continue
            name, start, end = row["clip"], float(row["start_s"]), float(row["end_s"])
            spans[name] = (min(start, spans.get(name, (start, 0))[0]), end)
            if row["word"] in CLOSED_STARTS:
                marks.setdefault(name, []).append(start)
            elif row["word"] in CLOSED_ENDS:
                marks.setdefault(name, []).append(end)
    files = command.files_in(tracks, "*.npz")
    return [
        Source(folder / "s1" / f"{file.stem}.mp4", file, "s1",
               "held" if i >= len(files) - GRID_HELD_OUT else "train",
               spans.get(file.stem), tuple(marks.get(file.stem, ())))
        for i, file in enumerate(files)
    ]  # fmt: skip


def without_pose(faces: FloatArray, rotation: FloatArray) -> FloatArray:
    """Faces [T,478,3] less what goes along with the head's turn [T,3,3], about its mean."""
    if len(faces) < POSE_FRAMES:
        return faces
    angles = geometry.euler_deg(rotation)
    angles = angles - angles.mean(axis=0)
    flat = faces.reshape(len(faces), -1)
    ridge = np.eye(3) * len(faces)  # a head that hardly turns, by a degree, tells nothing
    slope = np.linalg.solve(angles.T @ angles + ridge, angles.T @ (flat - flat.mean(axis=0)))
    return np.asarray((flat - angles @ slope).reshape(faces.shape), np.float32)


def neutral_of(faces: FloatArray) -> FloatArray:
    """The mean [478,3] of the faces [T,478,3] of one person whose lips are nearest each other."""
    gaps = geometry.lip_opening(faces)
    few, many = np.quantile(gaps, [0.03, 0.2]).tolist()
    shut = gaps <= max(few, min(SHUT_GAP, many))
    return np.asarray(faces[shut].mean(axis=0))


@dataclass(frozen=True)
class Ways:
    """measures [K,F]: some measures of coefficients. ways [F,K]: what goes along with each alone.

    The ways are the regression of the coefficients on the measures over tracked faces, so that a
    measure can be scaled with all of the face that belongs to it.
    """

    measures: FloatArray
    ways: FloatArray

    @classmethod
    def of(cls, basis: FloatArray, coefficients: FloatArray, count: int = 2) -> Self:
        """For the first measures of NAMES, over coefficients [N,K]."""
        wanted = linear(basis)[:, :count]
        spread = np.cov(coefficients.T) @ wanted
        return cls(wanted, np.linalg.solve(wanted.T @ spread, spread.T))

    def gain(self, factors: FloatArray) -> FloatArray:
        """[K,K]: coefficients @ it have their measures multiplied by `factors` [F]."""
        return np.asarray(np.eye(len(self.measures)) + self.measures * (factors - 1) @ self.ways)


def usual(coefficients: list[FloatArray], ways: Ways) -> list[FloatArray]:
    """One person's coefficients [T,K], scaled to the usual opening and width."""
    spoken = np.concatenate(coefficients) @ ways.measures
    factors = np.array([USUAL_OPENING, USUAL_WIDTH]) / spoken.std(axis=0)
    gain = ways.gain(np.clip(factors, 1 / MOST_SCALING, MOST_SCALING))
    return [rows @ gain for rows in coefficients]


def scaled_to_usual(coefficients: list[FloatArray], people: People) -> list[FloatArray]:
    """The same for somebody who is not in the set yet, whatever the scale."""
    ways = Ways.of(people.basis, np.concatenate([c.coefficients for c in people.of("train")]))
    size = float((np.concatenate(coefficients) @ ways.measures)[:, 0].std())
    return usual([rows * (USUAL_OPENING / size) for rows in coefficients], ways)


def build(sources: list[Source]) -> People:
    """The set. The basis and the scaling come from clips that may be trained on alone."""
    loaded = [talk.load(source.track) for source in sources]
    faces = [without_pose(t.faces(), t.pose.rotation) for t in loaded]
    people = sorted({source.person for source in sources})
    by_person = {
        person: [i for i, source in enumerate(sources) if source.person == person]
        for person in people
    }
    neutrals = {
        person: neutral_of(np.concatenate([faces[i] for i in which]))
        for person, which in by_person.items()
    }
    train = [i for i, source in enumerate(sources) if source.use == "train"]
    learnt = [neutrals[person] for person in sorted({sources[i].person for i in train})]
    follow = speech_weight(np.mean(learnt, axis=0))[:, None]
    offsets = [(f - neutrals[s.person]) * follow for f, s in zip(faces, sources, strict=True)]
    rows = np.concatenate([
        offsets[i][:: max(1, len(by_person[sources[i].person]) // 6)] for i in train
    ])  # fmt: skip
    basis = principal_components(rows, component_weight())
    raw = [project(o, basis) for o in offsets]
    ways = Ways.of(basis, np.concatenate([raw[i] for i in train]))
    clips = []
    for person, which in by_person.items():
        scaled = usual([raw[i] for i in which], ways)
        for i, rows in zip(which, scaled, strict=True):
            tracked = measures(loaded[i].faces()).astype(np.float32)
            clips.append(_cut(Clip(
                sources[i].clip.stem, person, sources[i].use, read_sound(sources[i].clip),
                rows.astype(np.float32), loaded[i].fps, tracked,
                neutrals[person].astype(np.float32), np.array(sources[i].marks), sources[i].trust,
            ), sources[i]))  # fmt: skip
    return People(clips, basis.astype(np.float32))


def _cut(clip: Clip, source: Source) -> Clip:
    """The sound is moved to the lips; a clip of GRID begins and ends with its words."""
    if source.words is None or source.use != "train":
        late = round(source.lag_s * 16000)
        return replace(
            clip, sound=np.pad(clip.sound, (late, 0)) if late > 0 else clip.sound[-late:]
        )
    start_s = max(0.0, source.words[0] - WORDS_MARGIN_S[0])
    first = int(np.ceil(start_s * clip.fps))
    last = int((source.words[1] + WORDS_MARGIN_S[1]) * clip.fps)
    frames, samples = slice(first, last), round(first / clip.fps * 16000)
    end = round(last / clip.fps * 16000)
    return replace(
        clip, sound=clip.sound[samples:end], coefficients=clip.coefficients[frames],
        measures=clip.measures[frames], marks=clip.marks - first / clip.fps,
    )  # fmt: skip


def main() -> None:
    parser = command.parser("training.people", __doc__)
    parser.add_argument("output", type=Path, help="npz to write")
    parser.add_argument("--talk", type=Path, default=Path("data/talk"))
    parser.add_argument("--grid", type=Path, default=Path("data/grid"))
    parser.add_argument("--tracks", type=Path, default=Path("work"))
    given = parser.parse_args()
    sources = talk_sources(given.talk, given.tracks / "talk")
    sources += grid_sources(given.grid, given.tracks / "grid")
    sources += [
        Source(given.grid / "others" / f"{file.stem}.mp4", file, file.stem, "others")
        for file in command.files_in(given.tracks / "others", "*.npz")
    ]
    people = build(sources)
    people.save(given.output)
    log.info("%s: %d clips, basis of %d", given.output, len(people.clips), COMPONENTS)


if __name__ == "__main__":
    command.run(main)
