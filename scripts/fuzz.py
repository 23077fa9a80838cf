"""The long form of tests/fuzz: prints a line per target, keeps what it finds as files.

scripts/fuzz --cases 12000 --seed 1 --workers 2
scripts/fuzz --only sound --seed 1 --cases 250     one target
scripts/fuzz --replay FILE...                      cases again, as tests/data/fuzz has them
"""

import argparse
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("fuzz", "media")]

from fuzz_runner import Figures, run_files, run_slice, slices  # noqa: E402

# Files of media are where most of the code is that somebody else wrote.
SHARES = {
    "sound": 22,
    "clip": 18,
    "picture": 18,
    "artefacts": 10,
    "manifest": 8,
    "checkpoint": 6,
    "pickle": 6,
    "flame": 4,
    "settings": 4,
    "names": 4,
}


def main() -> int:
    given = _arguments()
    start = time.monotonic()
    if given.replay:
        totals = _replayed(given.replay)
    else:
        given.findings.mkdir(parents=True, exist_ok=True)
        totals = _run(given)
    _print(totals, time.monotonic() - start)
    return 1 if any(figures.findings for figures in totals.values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=12_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", choices=list(SHARES), help="all cases for one target")
    parser.add_argument("--findings", type=Path, default=Path("work/fuzz"), help="where they go")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    return parser.parse_args()


def _run(given: argparse.Namespace) -> dict[str, Figures]:
    shares = {given.only: 100} if given.only else SHARES
    jobs = [
        (target, seed, count)
        for target, share in shares.items()
        for seed, count in slices(-(-given.cases * share // 100), given.seed)
    ]
    totals = {target: Figures(target) for target in shares}
    with ThreadPoolExecutor(given.workers) as pool:
        for figures in pool.map(lambda job: run_slice(job[0], seed=job[1], count=job[2]), jobs):
            totals[figures.target].add(figures)
            for finding in figures.findings:
                file = given.findings / f"{finding.name}.case"
                file.write_bytes(finding.content)
                file.with_suffix(".txt").write_text(finding.why)
                print(f"{file}: {finding.why.strip().splitlines()[-1]}", flush=True)
    return totals


def _replayed(files: list[Path]) -> dict[str, Figures]:
    targets = sorted({file.name.partition("-")[0] for file in files})
    return {
        target: run_files(target, [file for file in files if file.name.startswith(f"{target}-")])
        for target in targets
    }


def _print(totals: dict[str, Figures], seconds: float) -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, {seconds:.0f} s")  # fmt: skip
    print(f"{'target':12} {'cases':>6} {'used':>6} {'refused':>8} {'findings':>9} "
          f"{'slowest s':>10} {'peak MB':>8}")  # fmt: skip
    total = Figures("all")
    for figures in totals.values():
        total.add(figures)
    for row in [*totals.values(), total]:
        print(f"{row.target:12} {row.cases:6} {row.results:6} {row.refused:8} "
              f"{len(row.findings):9} {row.slowest_s:10.2f} {row.peak_mb:8}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
