"""Records and their weights, compared, and changed at random."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from slotbench.results.records import weights_path


def same(first: Path, other: Path) -> None:
    """Equal weights to the bit, equal records but for costs and the time of day."""
    import torch  # only here: `mutated` is for tests that do without it, too
    from safetensors.torch import load_file

    records = [json.loads(path.read_text()) for path in (first, other)]
    for record in records:
        del record["costs"], record["provenance"]["finished"], record["provenance"]["sha256"]
    assert records[0] == records[1]
    for name in records[0]["weights"]:
        weights = [load_file(weights_path(path, name)) for path in (first, other)]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def mutated(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """`value` with one thing changed somewhere in it."""
    junk = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({})
    )
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        kind = draw(st.sampled_from(["deeper", "drop", "rename"]))
        rest = {name: part for name, part in value.items() if name != key}
        if kind == "deeper":
            return value | {key: mutated(value[key], draw)}
        return rest if kind == "drop" else rest | {key + "_": value[key]}
    return draw(junk)
