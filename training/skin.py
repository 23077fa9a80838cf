"""Train a network for what moving skin does: the lower face, or the lids.

    python -m training.skin work/mouth out/skin lower_face --workers 16

Reads what `training.mouth_data` packed. A sample is a picture warped by the renderer to the mesh
of another of the same person, and that other. Written: `NAME.onnx` and `NAME.json`.
"""

from pathlib import Path

from training import card, command
from training.skin_bank import AREAS, banks


def main() -> None:
    """Train one piece."""
    parser = command.parser("training.skin", __doc__)
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("out", type=Path)
    parser.add_argument("name", choices=AREAS)
    parser.add_argument("--steps", type=int, help="fewer, for a rehearsal")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the pairs, for a rehearsal")
    args = parser.parse_args()
    from training.skin_trainer import SETTINGS, export, trained

    args.out.mkdir(parents=True, exist_ok=True)
    made = banks(args.pictures, args.name, workers=args.workers, share=args.share)
    area = AREAS[args.name][0]
    settings = SETTINGS[args.name]
    settings = settings._replace(steps=args.steps or settings.steps)
    path = args.out / f"{args.name}.onnx"
    export(trained(made, area, settings), area, path)
    card.write(args.name, path, {"config": settings._asdict(), "scores": {}})


if __name__ == "__main__":
    command.run(main)
