"""What is here and what is missing: versions, devices, extras, models, what each engine lacks."""

import os
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from mdth import devices, engines, record
from mdth.config import config
from mdth.engine import Engine, Need
from mdth.errors import in_words
from mdth.files import assets
from mdth.log.redact import redacted
from mdth.options import AUTO, Options

_OF_EXTRA = re.compile(r"^([A-Za-z0-9._-]+).*\bextra\s*==\s*[\"']([A-Za-z0-9_-]+)[\"']")
MISSING = "missing"


def report() -> Iterator[str]:
    """The report, line by line. Nothing is changed and nothing fetched."""
    ours = config()
    folders = {
        **{"MDTH_MODELS": ours.models, "MDTH_HOME": ours.home},
        "MDTH_STORE": redacted(ours.store),
    }
    versions = record.versions()
    own = versions.pop("mdth")
    others = ", ".join(f"{name} {number}" for name, number in versions.items())
    yield from _section("versions", [("mdth", own), ("with", others)])
    yield from _section("devices", _devices())
    yield from _section("extras", _extras())
    yield from _section("folders", folders.items())
    try:
        for name in engines.names():
            engine = engines.get(name)
            yield from _section(f"what the engine {name} reads", _needs(engine))
            if hasattr(engine, "checks") and not engines.problems(engine.needs(Options())):
                yield from _section(f"what is in them, for {name}", engine.checks())
        yield from _section("engines", _engines())
    except ImportError as error:  # of OpenCV, for want of a library of the system
        yield from _section("engines", [("none can be loaded", in_words(error))])


def warm() -> Iterator[str]:
    """Each engine that compiles does so now; a line for each. Raises MdthError."""
    for name in engines.names():
        if begin := getattr(engines.get(name), "warm", None):
            yield f"{name}: {begin()}"


def _section(title: str, rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    yield title
    for name, value in rows:
        yield f"  {name}: {value}"


def _devices() -> Iterator[tuple[str, object]]:
    yield "CPU", f"{os.cpu_count()} cores"
    yield "GPUs", ", ".join(devices.gpu_names()) or "none"
    if find_spec("torch") is None:
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


def _needs(engine: Engine) -> Iterator[tuple[str, object]]:
    """Each file and package that an engine reads, and what it has to say of itself."""
    for need in engine.needs(Options()):
        yield need.name, need.problem or _found(need)
    yield from engine.traits().items()


def _found(need: Need) -> str:
    if need.path is None:
        return "found"
    for asset in assets.entries():
        if asset.name == need.name:
            here = "to be fetched on first use" if asset.problem else "found, its hash is right"
            return f"{here}, {asset.size / 1e6:.1f} MB"
    return f"found, {need.path.stat().st_size / 1e6:.1f} MB"


def _engines() -> Iterator[tuple[str, object]]:
    """What each engine still needs, and which one auto takes."""
    for name in engines.names():
        missing = engines.problems(engines.get(name).needs(Options()))
        lacking = ", ".join(need.name for need in missing)
        mends = "; ".join(dict.fromkeys(need.mend for need in missing))
        yield name, f"needs {lacking}; {mends}" if missing else "ready"
    yield AUTO, f"takes {engines.choose(Options()).name}"
