"""What every rule is: torch.optim.SGD whose parameters start as a seeded random network. Here: the arguments, what is
refused, copies, and states. What SGD trains, and what follows from it, is a subclass's affair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from slotbench.selection.options import Options, Sharing, draw

SQRT3 = 3**0.5
TYPES = (torch.float32, torch.float64)
WHOLE = {"k", "seed", "option_bound", "score_bounds", "dampening", "maximize"}
"""What is one for all groups, or not there at all"""


class Rule(torch.optim.SGD):
    """SGD from a random network of K options a connection.

    Arguments, beside torch.optim.SGD's own `lr`, `momentum`, `weight_decay` and `nesterov`, which a group may set:
        params: tensors, named tensors or groups of them, as of any optimizer, of any shape, float32 or float64, each
            of which fills its memory, in whatever order of its dimensions (channels-last is one); their values are
            replaced.
        k: options per connection.
        seed: which random network, from 0 to 2³² - 1; layers are told apart by their order.
        option_bound, score_bounds: options are uniform in ± the first, initial scores in [0, the second) for
            convolutions and for fully-connected layers, in units of the layer's Glorot deviation.

    Raises ValueError for parameters, settings and states that it cannot take. A network is moved to its device and
    type first; its memory format may change later.
    """

    sharing: ClassVar[Sharing | None] = None
    kept: ClassVar[tuple[str, ...]] = ()
    """what the state of a parameter always has, each of the parameter's shape"""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        k: int = 1,
        seed: int,
        lr: float | Tensor,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        option_bound: float = SQRT3,
        score_bounds: Sequence[float] = (SQRT3, SQRT3),
    ) -> None:
        if k < 1:
            raise ValueError(f"k = {k}: a connection needs at least one option")
        self.drawn_by: dict[str, Any] = {
            "rule": type(self).__name__,
            "k": k,
            "seed": seed,
            "option_bound": option_bound,
            "score_bounds": list(score_bounds),
        }
        """what else than (a, b) a selection depends on, as JSON can hold it; each group of a state has it too"""
        self.options: dict[Tensor, Options] = {}
        check_settings({"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs momentum")
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
        self._begin(list(self._weights()))

    def _weights(self) -> Iterable[Tensor]:
        return (weight for group in self.param_groups for weight in group["params"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds layers, after those that there are."""
        if own := sorted(name for name in WHOLE if param_group.get(name)):
            raise ValueError(f"a group has no {own[0]} of its own: {type(self).__name__} has one for all, or none")
        if self.options and self.sharing == "network":
            raise ValueError("options that a whole network shares are drawn for all its layers at once: name them then")
        super().add_param_group(param_group)
        group = self.param_groups.pop()
        check_settings(group)
        for number, weight in enumerate(group["params"]):
            earlier = len(list(self._weights()))
            check_weight(
                weight, group["param_names"][number] if "param_names" in group else f"parameter {earlier + number}"
            )
        if len(set(group["params"])) < len(group["params"]):
            raise ValueError("a parameter is named twice in a group")
        group |= self._new_group(len(group["params"]))
        self.param_groups.append(group)
        if self.options:  # it is built, and this comes later
            self._begin(group["params"])

    def _new_group(self, parameters: int) -> dict[str, Any]:
        """What a group of so many parameters has beside torch's settings."""
        return {"drawn_by": self.drawn_by}

    def _begin(self, weights: list[Tensor]) -> None:
        """Gives new layers their options, and their first weights."""
        self._offer(weights)
        self._select(weights)

    def _offer(self, weights: list[Tensor]) -> None:
        """Draws the options of new layers, and makes all else that a rule holds of a layer."""
        names = ("k", "seed", "option_bound", "score_bounds")
        drawn = draw(
            weights, first=len(self.options), sharing=self.sharing, **{name: self.drawn_by[name] for name in names}
        )
        self.options |= zip(weights, drawn, strict=True)

    def _select(self, weights: Iterable[Tensor]) -> None:
        """Fills `weights` with what the rule selects at present."""
        raise NotImplementedError  # abstract: each rule has its own

    def train(self) -> None:
        """Selects as the next forward pass of training needs it."""

    def eval(self) -> None:
        """Selects for evaluation."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a state of the same rule, K, seed and layers, whatever the layout in memory that it is stored in."""
        self._check_state(state_dict)
        super().load_state_dict(state_dict)
        for weight in self._weights():
            for name, stored in self.state[weight].items():
                if isinstance(stored, Tensor):
                    self.state[weight][name] = torch.empty_like(weight).detach().copy_(stored)

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        shapes = [weight.shape for weight in self._weights()]
        names = [name for group in state_dict["param_groups"] for name in group["params"]]
        for group in state_dict["param_groups"]:
            other = group.get("drawn_by", {"rule": "another rule"})
            for name, own in self.drawn_by.items():
                if other.get(name) != own:
                    raise ValueError(f"a state of {name} {other.get(name)} is none for {name} {own}")
        if len(names) != len(shapes):
            raise ValueError(f"a state of {len(names)} parameters is none for {len(shapes)}")
        for number, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            parts = state_dict["state"].get(name, {})
            if missing := sorted(set(self.kept) - parts.keys()):
                raise ValueError(f"a state without {missing[0]} of parameter {number} is none of {type(self).__name__}")
            for part, value in parts.items():
                if isinstance(value, Tensor) and value.shape != shape:
                    raise ValueError(
                        f"a state whose {part} of parameter {number} is {list(value.shape)} is none for {list(shape)}"
                    )

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: all but hooks, and the step that a scheduler has wrapped."""
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_optimizer_") and not callable(value)
        }


def check_settings(group: dict[str, Any]) -> None:
    """Refuses settings of SGD that are negative or no numbers."""
    for name in ("lr", "momentum", "weight_decay"):
        value = float(group[name])
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} = {value}: has to be a number from 0 on")


def check_weight(weight: Tensor, name: str) -> None:
    if weight.layout is not torch.strided or weight.dtype not in TYPES:
        kind = weight.dtype if weight.layout is torch.strided else weight.layout
        raise ValueError(f"{name} is {kind}: a rule takes dense float32 or float64 (and autocast for less)")
    if not fills_its_memory(weight):
        raise ValueError(
            f"{name}, {list(weight.shape)} with strides {weight.stride()}, does not fill its memory: "
            "a part of another tensor, or one that repeats itself, is not taken; clone it"
        )


def fills_its_memory(weight: Tensor) -> bool:
    """Whether its numbers lie together, each once, in any order of the dimensions."""
    return weight.numel() == 0 or same_layout(weight, torch.empty_like(weight))


def same_layout(tensor: Tensor, other: Tensor) -> bool:
    """Whether tensors of one shape have their numbers in one order. A dimension of length 1 has no stride."""
    if tensor.stride() == other.stride():
        return True
    strides = zip(tensor.shape, tensor.stride(), other.stride(), strict=True)
    return tensor.numel() == 0 or all(length == 1 or one == another for length, one, another in strides)
