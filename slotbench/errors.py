"""Errors that are a person's to mend, and how a mistyped name is told."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with status 2; nothing else is caught.
    """


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """One sentence such as "recipe 'papr': unknown; did you mean 'paper'?"."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
    return f"{kind} '{name}': unknown; {hint}"
