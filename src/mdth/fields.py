"""A field of the table of options: what it may be, and what it is for."""

from dataclasses import Field, dataclass, field, fields
from typing import Any

from mdth.errors import InputError


def option(
    default: Any,
    words: str,
    *,
    within: tuple[float, float] | None = None,
    among: tuple[str, ...] | None = None,
    only: str | None = None,
    unit: str = "",
    alias: str | None = None,
) -> Any:
    """A field of the table.

    words: its help. within, among: the values that work. only: the engine it does something for,
    None for all. unit: of its value, for help. alias: an older name that is understood too.
    """
    metadata = {"words": words, "within": within, "among": among, "only": only, "unit": unit}
    return field(default=default, metadata={**metadata, "alias": alias})


def type_of(entry: Field[Any]) -> type:
    """Of its value, None apart: what may be None is a whole number."""
    return int if entry.default is None else type(entry.default)


def _check(entry: Field[Any], value: Any) -> None:
    """Raises InputError for a value that no later step could use."""
    name, about = entry.name.replace("_", " "), entry.metadata
    if value is None and entry.default is None:
        return
    kind = type_of(entry)
    wanted = (int, float) if kind is float else kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{name} {value!r}: give a value of type {kind.__name__}")
    if about["among"] and value not in about["among"]:
        raise InputError(f"{name} {value!r}: choose one of {', '.join(about['among'])}")
    if about["within"]:
        low, high = about["within"]
        if not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise InputError(f"{name} {value}: give {what} from {low:g} to {high:g}")


@dataclass(frozen=True)
class Group:
    """Fields of the table that are checked when they are set. Raises InputError."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry, getattr(self, entry.name))
