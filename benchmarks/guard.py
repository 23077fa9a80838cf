"""What the guard of a job costs: CPU seconds of `mdth talk`, paired.

python -m benchmarks.guard [--rounds 15]

Each round does the job as the command does, without limits, and without the process that watches
the job, in another order each time.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.__main__ import row
from benchmarks.machine import machine
from mdth.files import assets
from mdth.guard import MEMORY_GB, TIME_S
from training import command

EXAMPLES = Path(assets.__file__).parents[1] / "examples"
GUARDED = (sys.executable, "-m", "mdth")
ALONE = (sys.executable, "-c", "import sys; from mdth import cli; sys.exit(cli.main(sys.argv[1:]))")
NONE = {MEMORY_GB: "0", TIME_S: "0"}
WAYS = {"as it is": (GUARDED, {}), "no limits": (GUARDED, NONE), "no second process": (ALONE, NONE)}


def cpu_s(head: tuple[str, ...], settings: dict[str, str]) -> float:
    """User and system seconds of the job and what it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        inputs = [str(EXAMPLES / name) for name in ("grace_hopper.jpg", "speech.wav")]
        output = ["-o", f"{folder}/out.mp4", "--max-size", "256"]
        subprocess.run(
            [*head, "talk", *inputs, *output],
            check=True, env=os.environ | settings, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the medians, and those of the ratios within a round."""
    parser = command.parser("benchmarks.guard", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    row("machine", machine())
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    names = list(WAYS)
    for number in range(rounds):
        first = number % len(names)
        for way in names[first:] + names[:first]:
            spent[way].append(cpu_s(*WAYS[way]))
    for way, seconds in spent.items():
        ratios = [a / b for a, b in zip(spent["as it is"], seconds, strict=True)]
        row(
            f"CPU of the example, {way}",
            f"{statistics.median(seconds):.2f} s, as it is {statistics.median(ratios):.3f} of it",
        )


if __name__ == "__main__":
    command.run(main)
