import pytest

from slotbench.selection import greedy, kernel
from slotbench.selection.greedy import climb_densely, units


@pytest.fixture(params=["compiled", "without a compiler", "as on an accelerator"])
def every_path(request, monkeypatch):
    """Every statement here holds with the compiled step, without, and for the climb of an accelerator."""
    if request.param == "compiled":
        if kernel.library() is None:
            pytest.skip("no C compiler on this machine")
        return
    monkeypatch.setattr(kernel, "library", lambda: None)
    if request.param == "as on an accelerator":
        monkeypatch.setattr(
            greedy,
            "climb",
            lambda weight, b, a, climber, everywhere=False: climb_densely(weight, b, units(a, b.dtype), climber),
        )
