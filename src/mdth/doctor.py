"""What is here and what is missing: versions, devices, extras, models, what each engine lacks."""

import os
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from mdth import devices, record
from mdth.config import config
from mdth.errors import MdthError
from mdth.files import assets
from mdth.log.redact import redacted
from mdth.options import AUTO, EMBEDDED, SEED
from mdth.seed import landmarks
from mdth.seed.files import missing_packages, seed_files

_OF_EXTRA = re.compile(r"^([A-Za-z0-9._-]+).*\bextra\s*==\s*[\"']([A-Za-z0-9_-]+)[\"']")
MISSING = "missing"


def report() -> Iterator[str]:
    """The report, line by line. Nothing is changed and nothing fetched."""
    folders = {"MDTH_HOME": config().home, "MDTH_STORE": redacted(config().store)}
    versions = record.versions()
    yield from _section("versions", [("mdth", versions.pop("mdth")), ("with", _listed(versions))])
    yield from _section("devices", _devices())
    yield from _section("extras", _extras())
    yield from _section("folders", folders.items())
    yield from _section(f"models of the embedded engine, {assets.FOLDER}", _models())
    yield from _section(f"checkpoints of the seed's engine, {assets.FOLDER.parent}", _checkpoints())
    yield from _section("engines", _engines())


def _section(title: str, rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    yield title
    for name, value in rows:
        yield f"  {name}: {value}"


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _devices() -> Iterator[tuple[str, object]]:
    yield "CPU", f"{os.cpu_count()} cores"
    yield "GPUs", ", ".join(devices.gpu_names()) or "none"
    if "torch" in missing_packages():
        yield "torch uses", f"nothing, it is {MISSING}"
    else:
        yield "torch uses", ", ".join(devices.torch_devices(devices.count_gpus()))


def _extras() -> Iterator[tuple[str, object]]:
    """Each extra with the packages it asks for and their versions."""
    found: dict[str, list[str]] = {}
    for line in requires("mdth") or []:
        if match := _OF_EXTRA.match(line):
            package, extra = match.groups()
            found.setdefault(extra, []).append(f"{package} {_version(package)}")
    for extra, packages in sorted(found.items()):
        yield extra, ", ".join(packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return MISSING


def _models() -> Iterator[tuple[str, object]]:
    for entry in assets.entries():
        yield entry.name, _problem(entry.name) or "found, its hash is right"


def _problem(asset: str) -> str:
    try:
        assets.path(asset)
    except MdthError as error:
        return str(error)
    return ""


def _checkpoints() -> Iterator[tuple[str, object]]:
    files = seed_files()
    for path in files.needed():
        yield path.relative_to(files.common).as_posix(), _size(path)
    yield "68 landmarks are read by", landmarks.reader_name()


def _size(path: Path) -> str:
    return f"found, {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else MISSING


def _engines() -> Iterator[tuple[str, object]]:
    """What each engine still needs, and which one auto takes."""
    wrong = [entry.name for entry in assets.entries() if _problem(entry.name)]
    yield EMBEDDED, f"needs {', '.join(wrong)}; run: mdth assets fetch" if wrong else "ready"
    missing, packages = len(seed_files().missing()), missing_packages()
    needs = [f"{missing} checkpoints, {MISSING} above"] if missing else []
    if packages:
        needs.append(f"{', '.join(packages)}; run: pip install 'mdth[seed]'")
    yield SEED, f"needs {' and '.join(needs)}" if needs else "ready"
    yield AUTO, f"takes {EMBEDDED if needs else SEED}"
