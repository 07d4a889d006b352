"""Greedy selection among options that connections share: all connections of a layer, or of the whole network, have the
same K options, and each has scores of its own (paper, the experiments on sharing).

Its staircase is therefore a connection's own too, and nothing else differs from `greedy`: see `options.draw`.
"""

from slotbench.selection.greedy import Greedy


class SharedByLayer(Greedy):
    """Greedy selection among K options a layer; arguments as of `slots.Slots`."""

    sharing = "layer"


class SharedByNetwork(Greedy):
    """Greedy selection among K options for all layers; arguments as of `slots.Slots`."""

    sharing = "network"
