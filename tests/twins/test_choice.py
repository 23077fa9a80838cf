from mdth.errors import UnreadableMedia
from mdth.storage.plain import Entry
from mdth.twins.sources import choose


def _files(*names: str, empty: tuple[str, ...] = ()) -> list[Entry]:
    return [Entry(name, 0 if name in empty else 5) for name in names]


def test_the_first_readable_by_natural_order() -> None:
    asked: list[str] = []

    def readable(name: str) -> None:
        asked.append(name)
        if name == "2.wav":
            raise UnreadableMedia("2.wav: not a sound")

    files = _files("10.wav", "2.wav", ".0.wav", "1.wav", "B.wav", "a.wav", empty=("1.wav",))
    choice = choose(files, readable)
    assert choice.name == "10.wav"
    assert asked == ["2.wav", "10.wav"]
    reasons = {skipped.name: skipped.reason for skipped in choice.skipped}
    assert reasons.pop(".0.wav") == "hidden"
    assert list(reasons.items()) == [
        ("1.wav", "empty"), ("2.wav", "2.wav: not a sound"),
        ("a.wav", "not needed, 10.wav comes first"), ("B.wav", "not needed, 10.wav comes first"),
    ]  # fmt: skip
