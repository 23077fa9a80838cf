"""Speed against a plain re-computation of every step, and deviation of windows from a whole clip.

python -m benchmarks.faceformer speed --seconds 10 60
python -m benchmarks.faceformer steps
python -m benchmarks.faceformer deviation --seconds 60
python -m benchmarks.faceformer gpu

Full size, random weights. GPU rows appear where torch finds a GPU; `gpu` needs one, and torch,
numpy and Pillow alone.
"""

import logging

from benchmarks.machine import machine
from training import command

log = logging.getLogger("mdth")


def main() -> None:
    """Measure one thing."""
    parser = command.parser("benchmarks.faceformer", __doc__)
    parser.add_argument("what", choices=["speed", "steps", "deviation", "gpu"])
    parser.add_argument("--dataset", choices=["vocaset", "biwi"], default="vocaset")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    parser.add_argument("--every", type=int, default=1, help="measure one plain step in so many")
    given = parser.parse_args()
    from benchmarks import faceformer_gpu, faceformer_speed
    from mdth.faceformer.config import DATASETS

    config = DATASETS[given.dataset]
    log.info("%s", machine())
    if given.what == "speed":
        faceformer_speed.speed(config, given.seconds, every=given.every)
    elif given.what == "steps":
        faceformer_speed.steps(config)
    elif given.what == "gpu":
        faceformer_gpu.run(config, given.seconds)
    else:
        faceformer_speed.deviation(config, max(given.seconds))


if __name__ == "__main__":
    command.run(main)
