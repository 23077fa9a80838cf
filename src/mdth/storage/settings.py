"""How patient the store is with a server, and how large files are sent: all in one place."""

import os
from dataclasses import dataclass

MIB = 1 << 20
SMALLEST_PART_MIB = 5  # S3 takes no smaller part but the last
MOST_PARTS = 10_000


@dataclass(frozen=True)
class S3Settings:
    """Time limits in seconds of one request, repetitions, and parts of uploads.

    attempts: how often a request is made in all, if what goes wrong may pass. A download counts
    anew after `part_bytes` of progress, because it goes on where it broke.
    least_bytes: a download that brings less in `read_timeout_s` has stalled, although it drips.
    least_upload_bps: bytes per second of each part; a slower line has it given up.
    first_wait_s, longest_wait_s: the pause before the second attempt; each further one is twice as
    long up to the longest. What is waited is random between half of that and all of it.
    part_bytes, parallel: files above `part_bytes` are sent in parts, so many at a time; the memory
    of an upload is about their product.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    least_bytes: int = 64 << 10
    least_upload_bps: float = 100_000
    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    part_bytes: int = 8 * MIB
    parallel: int = 4

    @property
    def part_timeout_s(self) -> float:
        """How long a part may take, answer included."""
        return self.read_timeout_s + self.part_bytes / self.least_upload_bps

    def pause_s(self, failures: int) -> float:
        """The longest pause after so many failures."""
        return min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s)

    def part_size(self, size: int) -> int:
        """Bytes of each part of a file of `size` bytes."""
        return max(self.part_bytes, -(-size // MOST_PARTS))


def s3_settings() -> S3Settings:
    """The defaults; `MDTH_S3_PART_MB` (5 or more) changes the size of parts."""
    part_mib = os.environ.get("MDTH_S3_PART_MB", "")
    if not part_mib.isdecimal():
        return S3Settings()
    return S3Settings(part_bytes=max(int(part_mib), SMALLEST_PART_MIB) * MIB)
