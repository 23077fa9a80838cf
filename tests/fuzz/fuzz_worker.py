"""Runs cases of one target in a process of its own, with limited memory; tells each one's outcome.

python fuzz_worker.py TARGET SEED COUNT SKIP FOLDER   generated cases; the first SKIP are not run
python fuzz_worker.py TARGET files FOLDER FILE...     cases from files

Each line on stdout is JSON: {"ready": true}, then {"case": number, "file": path} before a case and
{"case": number, "outcome": "result" | "refused" | "finding", "why": text, "seconds": s} after it.
"""

import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from fuzz_targets import TARGETS, Target  # noqa: E402

from mdth import guard  # noqa: E402
from mdth.errors import MdthError  # noqa: E402

os.environ |= {guard.MEMORY_GB: "2"}
# Whatever libraries print, on either stream.
PRINTED = tempfile.TemporaryFile()
WORDS = os.fdopen(os.dup(1), "w", buffering=1)


def say(**words: object) -> None:
    WORDS.write(json.dumps(words) + "\n")


def outcome(target: Target, content: bytes) -> tuple[str, str]:
    PRINTED.seek(0)
    PRINTED.truncate()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with guard.limits():
                target.run(content, Path(folder))
            found = "result"
        except MdthError:
            found = "refused"
        except Exception:  # noqa: BLE001  any other one is what is looked for
            return "finding", traceback.format_exc(limit=-6)
    sys.stderr.flush()
    PRINTED.seek(0)
    if b"Traceback" in (printed := PRINTED.read()):
        return "finding", f"prints {printed[-1000:].decode('utf-8', 'replace')}"
    return found, ""


def run_case(target: Target, number: int, content: bytes, file: Path) -> None:
    file.write_bytes(content)
    say(case=number, file=str(file))
    start = time.monotonic()
    found, why = outcome(target, content)
    seconds = round(time.monotonic() - start, 3)
    if found != "finding":
        file.unlink()
    say(case=number, outcome=found, why=why, seconds=seconds, peak_mb=peak_mb())


def peak_mb() -> int:
    """The process's own high water mark; `getrusage` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def generated(target: Target, seed: int, count: int) -> Iterator[bytes]:
    """The cases of a seed; the same each time."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    made: list[bytes] = []

    @seeded(seed)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.cases())
    def collect(content: bytes) -> None:
        made.append(content)

    collect()
    yield from made


def main() -> None:
    target = TARGETS[sys.argv[1]]
    logging.getLogger("mdth").setLevel(logging.CRITICAL)
    if sys.argv[2] == "files":
        folder, skip = Path(sys.argv[3]), 0
        cases = [(number, Path(name).read_bytes()) for number, name in enumerate(sys.argv[4:])]
    else:
        seed, count, skip = map(int, sys.argv[2:5])
        folder = Path(sys.argv[5])
        cases = list(enumerate(generated(target, seed, count)))
    tempfile.tempdir = str(folder)  # what a killed worker leaves goes with it
    for stream in (1, 2):
        os.dup2(PRINTED.fileno(), stream)
    outcome(target, b"")  # what is imported for the first time here is no case's memory
    say(ready=True, cases=len(cases))
    for number, content in cases[skip:]:
        run_case(target, number, content, folder / f"{os.getpid()}-{number}.case")
    WORDS.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
