"""Prints the table of options as docs/code.md has it."""

from collections.abc import Iterator

from mdth.options import TABLE, TYPES


def rows() -> Iterator[str]:
    yield "| option | default | values | for | what |"
    yield "|---|---|---|---|---|"
    for name, entry in TABLE.items():
        about = entry.metadata
        values = " to ".join(f"{bound:g}" for bound in about["within"] or ())
        values = values or ", ".join(about["among"] or ()) or TYPES[name].__name__
        default = "" if entry.default is None else entry.default
        only = f"engine {about['only']}" if about["only"] else ""
        flag = f"`--{name.replace('_', '-')}`"
        yield f"| {flag} | {default} | {values} | {only} | {about['words']} |"


if __name__ == "__main__":
    print(*rows(), sep="\n")
