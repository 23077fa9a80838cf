"""From what a twin costs to what many minutes of video a day need: the tables of docs/scale.md.

python -m benchmarks.scale --cpu-per-second 0.55 --cpu-per-video 0.5 ...

Give it the figures that python -m benchmarks.batch prints on your machine; nothing is built in.
"""

from dataclasses import dataclass, fields

from training import command

DAY_S = 24 * 60 * 60
FPS = 30


@dataclass(frozen=True)
class Inputs:
    """What the tables are worked out from; every one an option of the command."""

    minutes: float  # of video a day
    cpu_per_second: float  # CPU seconds for one more second of video, both tasks
    cpu_per_video: float  # CPU seconds for a video whatever its length, both tasks
    use: float  # share of the time that a core is at work, 0..1
    gets: float  # requests that read, for each video, both tasks
    puts: float  # requests that write
    read_per_second: float  # bytes read from the store for each second of video
    read_per_video: float  # and for each video whatever its length
    write_per_second: float  # bytes written, likewise
    write_per_video: float
    worker_mb: float  # memory of a worker
    node_cores: float  # of one machine

    def cores(self, length_s: float) -> float:
        """Cores for videos of this length."""
        seconds = 60 * self.minutes
        cpu_s = seconds * self.cpu_per_second + seconds / length_s * self.cpu_per_video
        return cpu_s / DAY_S / self.use

    def videos_per_s(self, length_s: float) -> float:
        """Videos begun each second, all day."""
        return 60 * self.minutes / length_s / DAY_S

    def moved_mb_per_s(self, length_s: float) -> tuple[float, float]:
        """Megabytes read and written each second."""
        videos = self.videos_per_s(length_s) / 1e6
        read = videos * (length_s * self.read_per_second + self.read_per_video)
        return read, videos * (length_s * self.write_per_second + self.write_per_video)


def main() -> None:
    parser = command.parser("benchmarks.scale", __doc__)
    for field in fields(Inputs):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, required=True)
    parser.add_argument("--lengths", type=float, nargs="+", default=[10, 60, 600], metavar="S")
    given = vars(parser.parse_args())
    lengths = given.pop("lengths")
    inputs = Inputs(**given)
    print(
        "| seconds a video | videos/s | cores | machines | memory GB | GET/s | PUT/s "
        "| read MB/s | written MB/s | written TB a day |"
    )
    print("|" + "---|" * 10)
    for length_s in lengths:
        videos, cores = inputs.videos_per_s(length_s), inputs.cores(length_s)
        read, written = inputs.moved_mb_per_s(length_s)
        cells = [
            f"{length_s:g}",
            f"{videos:.1f}",
            f"{cores:.0f}",
            f"{cores / inputs.node_cores:.1f}",
            f"{cores * inputs.worker_mb / 1024:.0f}",
            f"{videos * inputs.gets:.0f}",
            f"{videos * inputs.puts:.0f}",
            f"{read:.0f}",
            f"{written:.0f}",
            f"{written * DAY_S / 1e6:.1f}",
        ]
        print(f"| {' | '.join(cells)} |")
    for rate in (100, 300, 1000):
        gpus = 60 * inputs.minutes * FPS / rate / DAY_S / inputs.use
        print(
            f"GPUs that draw {rate} frames/s each, for {FPS} frames a second of video: {gpus:.0f}"
        )


if __name__ == "__main__":
    command.run(main)
