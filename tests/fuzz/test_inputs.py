"""The fuzz of inputs in short; `make fuzz` takes ten minutes."""

import pytest

from tests.fuzz.inputs import KINDS, fuzz


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"states"}))  # each of which trains: `make fuzz`
def test_odd_inputs_are_taken_or_refused_in_a_sentence(kind):
    count, failures = fuzz(kind, first=0, cases=60, seconds=8)
    assert not failures, failures[0]
    assert count
