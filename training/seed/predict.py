"""Held-out clips as a trained FaceFormer speaks them, and the true meshes, to compare.

    python -m training.seed.predict vocaset VOCASET vocaset.pth work/predicted --split test
    python -m training.seed.predict tracked data/grid/s1 work/runs/ff/faceformer.pth \
        work/predicted --tracks work/grid

Written: `predicted/NAME.npz`, `true/NAME.npz` (vertices [T,V,3], fps, neutral [V,3]), `sounds/
NAME.wav`. A subject that was trained on speaks its own way; another speaks `--style`'s (the first
trained one's), or every trained one's with `--style all`: `NAME@STYLE.npz`, as FaceFormer's authors
evaluate. `training.mesh_compare` prints how far they are apart.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.speak import voice
from training import command
from training.seed import sets
from training.seed.corpus import SPLITS, Clip, Corpus, of_split

if TYPE_CHECKING:
    from mdth.faceformer.predictor import FaceFormer

log = logging.getLogger("mdth")


def styles(model: "FaceFormer", subject: str, asked: str) -> list[int]:
    """As whom a subject's clip is spoken, columns of the network. Raises InputError."""
    known = model.config.names
    if subject in known:
        return [known.index(subject)]
    if asked == "all":
        return list(range(model.config.subjects))
    return [model.subject(int(asked) if asked.isdigit() else asked)]


def write(model: "FaceFormer", corpus: Corpus, clip: Clip, *, folder: Path, style: str) -> None:
    """One clip's three kinds of files, predictions cut to the true length."""
    truth, sound = corpus.vertices(clip), corpus.sound(clip)
    template = corpus.templates[clip.subject]
    about: dict[str, Any] = {"fps": model.fps, "neutral": template.astype(np.float32)}
    np.savez(folder / "true" / f"{clip.name}.npz", vertices=truth, **about)
    chosen = styles(model, clip.subject, style)
    for one in chosen:
        name = clip.name if len(chosen) == 1 else f"{clip.name}@{one}"
        meshes = model.vertices(sound, template, one)[: len(truth)]
        np.savez(folder / "predicted" / f"{name}.npz", vertices=meshes, **about)
    voice.write(folder / "sounds" / f"{clip.name}.wav", [sound], rate_hz=SPEECH_RATE_HZ)


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.seed.predict", __doc__)
    sets.add_arguments(parser)
    parser.add_argument("checkpoint", type=Path, help="a published file, or a run's faceformer.pth")
    parser.add_argument("output", type=Path)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--style", default="0", help="trained subject (number or name), or all")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    corpus = sets.open_corpus(given)
    from mdth.faceformer.predictor import FaceFormer

    beside = given.checkpoint.with_suffix(".json").is_file()
    config = None if beside else corpus.config
    model = FaceFormer.load(given.checkpoint, config, device=given.device)
    for part in ("predicted", "true", "sounds"):
        (given.output / part).mkdir(parents=True, exist_ok=True)
    clips = of_split(corpus, given.split)
    for clip in clips:
        write(model, corpus, clip, folder=given.output, style=given.style)
    log.info("%d clips of the split %s in %s", len(clips), given.split, given.output)


if __name__ == "__main__":
    command.run(main)
