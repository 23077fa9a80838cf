"""Speed, memory and precision of rendering, the plain way and ours.

    python -m benchmarks.generator
    python -m benchmarks.generator --devices cuda:0 cuda:1 --frames 18000 --rows devices

Random weights of full size unless `--checkpoint` and `--yaml` are given. Needs torch, numpy, Pillow
and PyYAML; the row with an mp4 needs PyAV and is left out without it. On a CPU the plain way takes
minutes a frame of full size on few cores: `--small`, or few `--frames`.
"""

import logging
import tempfile
from pathlib import Path

from benchmarks.machine import machine
from training import command

log = logging.getLogger("mdth")

ROWS = ("limits", "count", "plain", "fast", "mp4", "precision", "devices", "kernels")


def main() -> None:
    """Measure the rows that are asked for."""
    parser = command.parser("benchmarks.generator", __doc__)
    parser.add_argument("--devices", nargs="+", help="default: the first GPU, or the CPU")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS[:6]))
    parser.add_argument("--frames", type=int, help="default: 640, and 2 on a CPU")
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 to 32, and 1 on a CPU")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--yaml", type=Path)
    parser.add_argument("--small", action="store_true", help="the small stand-in")
    given = parser.parse_args()
    import torch

    from benchmarks import generator_rows
    from mdth.bfv2v.checkpoint import load_generator
    from mdth.bfv2v.devices import Files
    from mdth.bfv2v.predictor import found_device
    from tests.support import generator_made_up as made_up

    on_gpu = torch.cuda.is_available()
    devices = given.devices or ["cuda:0" if on_gpu else "cpu"]
    frames = given.frames or (640 if on_gpu else 2)
    batches = given.batches or ([1, 4, 8, 16, 32] if on_gpu else [1])
    log.info("%s", machine())
    with tempfile.TemporaryDirectory() as folder:
        if given.checkpoint is None:
            written = made_up.write(Path(folder), small=given.small)
            given.checkpoint, given.yaml = written[0], written[2]
        if "devices" in given.rows:
            files = Files(given.checkpoint, given.yaml)
            generator_rows.over_devices(files, devices, frames)
        generator = load_generator(given.checkpoint, given.yaml)
        bench = generator_rows.Bench(generator, found_device(devices[0]), frames, batches)
        for row in given.rows:
            if row != "devices":
                getattr(bench, row)()


if __name__ == "__main__":
    command.run(main)
