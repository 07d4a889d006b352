"""Errors that are a person's to mend, and how they are told: in one sentence on one line."""

import difflib
from collections.abc import Iterable
from pathlib import Path

LONGEST = 1000
"""Characters of a sentence; of a longer one the middle is left out."""


class InputError(Exception):
    """Bad input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with status 2; nothing else is caught.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(on_one_line(sentence))


def on_one_line(text: str, longest: int = LONGEST) -> str:
    """`text` for a terminal's line: what would break the line is escaped, and the middle of a long text left out.

    A name that a person gave may be anything: with line breaks, with bytes that are no text, as long as a file.
    """
    if len(text) > longest:
        text = f"{text[: longest // 2]} … {text[-longest // 2 :]}"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """One sentence such as "recipe 'papr': unknown; did you mean 'paper'?"."""
    names = list(known)
    shown = on_one_line(str(name), 40)
    near = difflib.get_close_matches(shown, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
    return f"{kind} '{shown}': unknown; {hint}"


def missing(path: Path) -> str:
    """One sentence such as "config/quik.yaml: No such file or directory; did you mean 'config/quick.yaml'?"."""
    there, lost = path.parent, path.name
    while not there.is_dir() and there != there.parent:
        there, lost = there.parent, there.name
    try:
        near = difflib.get_close_matches(lost, [entry.name for entry in there.iterdir()], n=1, cutoff=0.7)
    except OSError:
        near = []
    hint = f"; did you mean '{there / near[0]}'?" if near else ""
    return f"{path}: No such file or directory{hint}"


def told(error: OSError, path: Path | None = None) -> str:
    """The system's own words, and the file that they are about."""
    name = error.filename if path is None else path
    if name and isinstance(error, FileNotFoundError):
        return missing(Path(name))
    return f"{name}: {error.strerror or error}" if name else str(error.strerror or error)
