"""Model cards: a run writes its figures, and keeps what people wrote in the shipped card."""

import hashlib
import json
from pathlib import Path
from typing import Any

from mdth.files.networks import WEIGHTS

KEPT = (
    *("what", "how", "licence", "by", "source", "changes", "data", "encoder", "commands"),
    *("late_ms", "chosen"),
)


def write(name: str, weights: Path, run: dict[str, Any]) -> None:
    """Write the card beside weights, with the words of the shipped card `name`."""
    shipped = json.loads((WEIGHTS / f"{name}.json").read_text("utf-8"))
    content = weights.read_bytes()
    card = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **{key: shipped[key] for key in KEPT if key in shipped},
        **run,
    }
    weights.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
