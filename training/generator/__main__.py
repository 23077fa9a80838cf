"""Train the generator on packed clips.

    python -m training.generator work/generator/clips.npz work/generator/run --minutes 20
    torchrun --nproc-per-node 2 -m training.generator ...

Writes `checkpoint.pth.tar` (loads as the published one), `config.yaml`, `curve.json` (PSNR of
self-reenactment on held-out clips; once, as `still_db`, that of their sources standing still) and
`samples-STEP.png` (rows: source, driving, made). A second run with the same folder goes on where
the first stopped.
"""

from pathlib import Path

from training import command


def main() -> None:
    parser = command.parser("training.generator", __doc__)
    parser.add_argument("clips", type=Path, help="made by training.generator.pack")
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--config", default="full", help="full, small, or a YAML")
    parser.add_argument("--side", type=int, help="of the pictures, px")
    parser.add_argument("--batch", type=int, default=8, help="of each process")
    parser.add_argument("--steps", type=int, default=10**9, help="at most")
    parser.add_argument("--minutes", type=float, default=20.0, help="at most")
    parser.add_argument("--every", type=int, default=250, help="steps between two reports")
    parser.add_argument("--critic-width", type=int, default=64)
    parser.add_argument("--vgg", type=Path, help="VGG-19 weights of torchvision")
    parser.add_argument("--random-seed", "--seed", type=int, default=0)
    given = parser.parse_args()
    from training.generator import run

    with run.team() as place:
        run.train(given, place)


if __name__ == "__main__":
    command.run(main)
