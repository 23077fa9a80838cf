"""Predicted meshes against true ones: the field's metrics, with the vertices they were taken over.

    python -m training.mesh_compare PREDICTED TRUE --regions face --phones phones.tsv
    python -m training.mesh_compare PREDICTED TRUE --lips FLAME_masks.pkl:lips \
        --upper FLAME_masks.pkl:forehead+eye_region --unit-mm 1000

PREDICTED and TRUE are two `.npz` files or two folders of them (`vertices` [T,V,3], `fps`, and
`neutral` [V,3] where known), as `mdth mesh` and `training.seed.predict` write them.
`NAME@STYLE.npz` are several predictions of NAME; their diversity is printed. Phones: tab separated
phone, start_s, end_s, with a column clip where there are several. Sounds: a folder of `NAME.wav`,
for motion in silence.
"""

import argparse
import csv
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import ArtefactError, InputError, MissingInput
from training import command, mesh_metrics, mesh_regions
from training.mesh_regions import Regions
from training.score import LABIALS, correlation, smallest_gaps

log = logging.getLogger("mdth")


@dataclass(frozen=True)
class Sequence:
    """Meshes [T,V,3], their rate, and the neutral face [V,3] if the file tells it."""

    vertices: FloatArray
    fps: float
    neutral: FloatArray | None

    @classmethod
    def load(cls, path: Path) -> "Sequence":
        """Read an `.npz`. Raises ArtefactError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                neutral = file["neutral"] if "neutral" in file.files else None
                found = cls(file["vertices"], float(file["fps"]), neutral)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ArtefactError(f"{path}: no meshes with a rate in it ({error})") from error
        if found.vertices.ndim != 3 or found.vertices.shape[2] != 3 or not len(found.vertices):
            raise ArtefactError(f"{path}: meshes of shape {found.vertices.shape}, not [T,V,3]")
        return found


@dataclass
class Heard:
    """What is known of the sounds, by clip: middles (s) of p, b, m, and samples at 16 kHz."""

    closures: dict[str, FloatArray] = field(default_factory=dict)
    sounds: dict[str, FloatArray] = field(default_factory=dict)


def compare(
    predicted: dict[str, list[Sequence]],
    true: dict[str, Sequence],
    regions: Regions,
    *,
    heard: Heard | None = None,
) -> dict[str, float]:
    """The metrics, means over predictions (several of a clip count as several)."""
    heard = heard or Heard()
    rows: dict[str, list[float]] = defaultdict(list)
    for name, sequences in predicted.items():
        truth = true[name]
        if any(one.vertices.shape[1:] != truth.vertices.shape[1:] for one in sequences):
            raise InputError(f"{name}: predicted and true meshes differ in size")
        regions.check(truth.vertices.shape[1])
        for one in sequences:
            for metric, value in _errors(one, truth, regions).items():
                rows[metric].append(value)
            for metric, value in _timed(one, truth, name, regions, heard).items():
                rows[metric].append(value)
        if len(sequences) > 1:
            rows["diversity"].append(mesh_metrics.diversity([one.vertices for one in sequences]))
    found = {metric: float(np.nanmean(values)) for metric, values in rows.items()}
    found["LVE root"] = float(np.mean(np.sqrt(rows["LVE"])))
    return found


def _errors(one: Sequence, truth: Sequence, regions: Regions) -> dict[str, float]:
    neutral = truth.neutral if truth.neutral is not None else truth.vertices.mean(axis=0)
    signed, absolute = mesh_metrics.face_dynamics_deviation(
        one.vertices, truth.vertices, neutral=neutral, upper=regions.upper
    )
    mine = mesh_metrics.roughness(one.vertices, one.fps)
    theirs = mesh_metrics.roughness(truth.vertices, truth.fps)
    still = np.broadcast_to(neutral, truth.vertices.shape)
    return {
        "LVE, neutral face": mesh_metrics.lip_vertex_error(still, truth.vertices, regions.lips),
        "MVE, neutral face": mesh_metrics.mean_vertex_error(still, truth.vertices),
        "LVE": mesh_metrics.lip_vertex_error(one.vertices, truth.vertices, regions.lips),
        "MVE": mesh_metrics.mean_vertex_error(one.vertices, truth.vertices),
        "FDD": signed,
        "FDD absolute": absolute,
        "acceleration": mine[0],
        "jitter": mine[1],
        "acceleration, true": theirs[0],
        "jitter, true": theirs[1],
    }


def _timed(
    one: Sequence, truth: Sequence, name: str, regions: Regions, heard: Heard
) -> dict[str, float]:
    """What needs phone times or the sound; for the true meshes too."""
    found = _openings(one, truth, regions)
    for whose, sequence in (("", one), (", true", truth)):
        if name in heard.closures and len(regions.pairs):
            gaps = mesh_metrics.lip_gaps(sequence.vertices, regions.pairs)
            least = smallest_gaps(gaps, sequence.fps, heard.closures[name])
            if len(least):
                found[f"shut on p, b, m{whose}"] = float((least <= regions.shut).mean())
                found[f"smallest gap on p, b, m{whose}"] = float(least.mean())
        if name in heard.sounds:
            silent = mesh_metrics.silent_frames(
                heard.sounds[name],
                SPEECH_RATE_HZ,
                frames=len(sequence.vertices),
                fps=sequence.fps,
            )
            moving = mesh_metrics.speed(sequence.vertices, sequence.fps, regions.lips)
            if silent.any():
                found[f"lip speed in silence{whose}"] = float(moving[silent].mean())
            if (~silent).any():
                found[f"lip speed in speech{whose}"] = float(moving[~silent].mean())
    return found


def _openings(one: Sequence, truth: Sequence, regions: Regions) -> dict[str, float]:
    """How the opening of the lips follows the true one over time."""
    frames = min(len(one.vertices), len(truth.vertices))
    if not len(regions.pairs) or frames < 2:
        return {}
    gaps = [
        mesh_metrics.lip_gaps(sequence.vertices[:frames], regions.pairs)
        for sequence in (one, truth)
    ]
    return {"lip opening, correlation": float(correlation(*gaps))}


def read_pair(predicted: Path, true: Path) -> tuple[dict[str, list[Sequence]], dict[str, Sequence]]:
    """Predictions and truths by clip, of two files or two folders. Raises MissingInput."""
    if predicted.is_file() and true.is_file():
        return {"clip": [Sequence.load(predicted)]}, {"clip": Sequence.load(true)}
    styles: dict[str, list[Sequence]] = defaultdict(list)
    for path in sorted(predicted.glob("*.npz")):
        name = path.stem.partition("@")[0]
        if (true / f"{name}.npz").is_file():
            styles[name].append(Sequence.load(path))
    if not styles:
        raise MissingInput(f"{predicted} and {true}: no two .npz files of the same name")
    return dict(styles), {name: Sequence.load(true / f"{name}.npz") for name in styles}


def read_closures(table: Path, names: list[str]) -> dict[str, FloatArray]:
    """Middles in seconds of each clip's p, b and m. Raises ArtefactError."""
    found: dict[str, list[float]] = {name: [] for name in names}
    try:
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                name = row.get("clip") or names[0]
                if row["phone"] in LABIALS and name in found:
                    found[name].append((float(row["start_s"]) + float(row["end_s"])) / 2)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(f"{table}: no table of phone times ({error})") from error
    return {name: np.array(middles) for name, middles in found.items() if middles}


def read_sounds(folder: Path, names: list[str]) -> dict[str, FloatArray]:
    """The clips' sounds, float32 [N] at 16 kHz, of those that have one."""
    from mdth.media.audio import read_blocks

    paths = {name: folder / f"{name}.wav" for name in names}
    return {
        name: np.concatenate(list(read_blocks(path)))
        for name, path in paths.items()
        if path.is_file()
    }


def choose_regions(given: argparse.Namespace) -> Regions:
    """The regions that the arguments name. Raises InputError."""
    if given.regions == "face":
        return mesh_regions.of_face()
    if given.lips is None or given.upper is None:
        raise InputError("say which vertices: --regions face, or --lips and --upper")
    lips, upper = (mesh_regions.read_region(source) for source in (given.lips, given.upper))
    return Regions(lips, upper, mesh_regions.NO_PAIRS, 0.0, f"{given.lips}, {given.upper}")


def lines(found: dict[str, float], regions: Regions, *, unit_mm: float | None) -> list[str]:
    """The table to print: metric, value, unit, and over which vertices."""
    over = {
        **dict.fromkeys(
            ("LVE", "LVE root", "LVE, neutral face"), f"lips, {len(regions.lips)} vertices"
        ),
        **dict.fromkeys(("FDD", "FDD absolute"), f"upper face, {len(regions.upper)} vertices"),
    }
    text = []
    for metric, value in sorted(found.items()):
        power = 1 if metric == "LVE root" or metric[:3] not in ("LVE", "FDD") else 2
        scale, unit = (1.0, "u") if unit_mm is None else (unit_mm**power, "mm")
        unit += "^2" if power == 2 else ""
        unit += {"acceleration": "/s^2", "jitter": "/s^3"}.get(metric.partition(",")[0], "")
        unit += "/s" if metric.startswith("lip speed") else ""
        if metric.startswith("shut") or metric.endswith("correlation"):
            scale, unit = 1.0, ""
        where = over.get(metric, f"lips, {len(regions.lips)} vertices" if "speed" in metric else "")
        text.append(f"{metric:32} {value * scale:12.6g} {unit:8} {where}".rstrip())
    return text


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.mesh_compare", __doc__)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("true", type=Path)
    parser.add_argument("--regions", choices=["face"], help="the 478-vertex face's own")
    parser.add_argument("--lips", help="file of vertices, or FILE.pkl:MASK+MASK")
    parser.add_argument("--upper", help="the same for the upper face")
    parser.add_argument("--phones", type=Path)
    parser.add_argument("--sounds", type=Path)
    parser.add_argument("--unit-mm", type=float, help="millimetres of one unit of the meshes")
    given = parser.parse_args(arguments)
    predicted, true = read_pair(given.predicted, given.true)
    names = list(true)
    regions = choose_regions(given)
    heard = Heard()
    if given.phones is not None:
        heard.closures = read_closures(given.phones, names)
    if given.sounds is not None:
        heard.sounds = read_sounds(given.sounds, names)
    found: dict[str, Any] = compare(predicted, true, regions, heard=heard)
    if any(sequence.neutral is None for sequence in true.values()):
        log.info("some clips tell no neutral face: their mean is taken")
    log.info("%d clips; regions: %s", len(names), regions.source)
    for line in lines(found, regions, unit_mm=given.unit_mm):
        log.info("%s", line)


if __name__ == "__main__":
    command.run(main)
