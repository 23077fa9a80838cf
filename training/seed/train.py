"""FaceFormer trained on VOCASET, BIWI, or our own tracked clips.

    python -m training.seed.train vocaset VOCASET work/runs/vocaset --wav2vec2 WAV2VEC2_BASE
    python -m training.seed.train biwi BIWI work/runs/biwi --wav2vec2 WAV2VEC2_BASE
    python -m training.seed.train tracked data/grid/s1 work/runs/ff --tracks work/grid \
        --encoder small --train-cnn

As published: one clip a step, mean squared error of the vertices, Adam at 1e-4, wav2vec2's
convolutions frozen, each frame hearing its own output. Run again with the same folder, it goes on
where it stopped. Written: `run.pt` (everything to go on), `faceformer.pth` in the published layout
with `faceformer.json` (its sizes), and `scores.json`.
"""

import logging
from dataclasses import asdict
from pathlib import Path

from mdth.errors import InputError
from training import command
from training.seed import sets
from training.seed.settings import STATE, Settings

log = logging.getLogger("mdth")


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.seed.train", __doc__)
    sets.add_arguments(parser)
    parser.add_argument("output", type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--feedback", choices=["own", "taught", "scheduled"], default="own")
    parser.add_argument("--schedule-steps", type=int, default=Settings.schedule_steps)
    parser.add_argument("--rate", type=float, default=Settings.rate)
    parser.add_argument("--decay-steps", type=int, default=Settings.decay_steps)
    parser.add_argument("--masked", type=float, default=Settings.masked)
    parser.add_argument("--precision", choices=["off", "bf16", "fp16"], default="off")
    parser.add_argument("--train-cnn", action="store_true", help="also wav2vec2's convolutions")
    parser.add_argument("--encoder", choices=list(sets.ENCODERS), default="base")
    parser.add_argument("--wav2vec2", help="folder or file of wav2vec2-base's weights")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--random-seed", "--seed", type=int, default=0)
    parser.add_argument("--score-every", type=int, default=1000, help="steps")
    given = parser.parse_args(arguments)
    if given.steps < 1 or given.score_every < 1:
        raise InputError("--steps and --score-every are at least 1")
    corpus = sets.open_corpus(given)
    import torch

    from training.seed import initial
    from training.seed import trainer as training

    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if given.precision != "off" and device == "cpu":
        log.info("--precision %s is for a GPU; float32 here", given.precision)
    settings = Settings(**{name: getattr(given, name) for name in asdict(Settings())})
    fresh = not (given.output / STATE).is_file()
    network = initial.fresh_network(
        corpus.config, random_seed=given.random_seed, wav2vec2=given.wav2vec2 if fresh else None
    )
    trainer = training.Trainer(corpus, network, settings, device=device)
    log.info("%d training clips, %s", len(trainer.clips), asdict(settings))
    training.train(trainer, given.output, training.Times(given.steps, given.score_every))


if __name__ == "__main__":
    command.run(main)
