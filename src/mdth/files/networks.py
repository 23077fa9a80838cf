"""The shipped networks: ONNX files in `weights`, each beside its model card."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdth.errors import CheckpointError

if TYPE_CHECKING:
    import onnxruntime

# onnxruntime tells its makers that it is used, and leaves a file among the temporary ones for that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
WEIGHTS = Path(__file__).parents[1] / "weights"


def load(
    name: str, folder: Path = WEIGHTS
) -> tuple["onnxruntime.InferenceSession", dict[str, Any]]:
    """A network ready to run on one CPU thread, and its model card.

    Raises CheckpointError if the file or its card is missing, or is not the one the card names.
    """
    path, card_path = folder / f"{name}.onnx", folder / f"{name}.json"
    try:
        weights = path.read_bytes()
        card: dict[str, Any] = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: no usable weights ({error}); install mdth again") from error
    found = hashlib.sha256(weights).hexdigest()
    if found != card.get("sha256"):
        raise CheckpointError(
            f"{path}: SHA-256 {found}, but {card_path.name} names {card.get('sha256')}; "
            "install mdth again"
        )
    return session(weights), card


def session(model: bytes | str, *, threads: int = 1) -> "onnxruntime.InferenceSession":
    """An onnxruntime session on the CPU, quiet, with so many threads of its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while they wait would take the cores from drawing and encoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
