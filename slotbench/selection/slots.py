"""Training the K scores of every connection as one pair (a, b): what greedy and probabilistic selection share.

Every operation of SGD is linear, so the score of option k is a·s⁰_k + b·w_k at every step (docs/method.md), where b,
one number per connection, is an ordinary weight trained by the same SGD from 0, and a, one number per layer, follows
the same recurrence from 1 with gradient 0. How a weight is selected by its scores is a subclass's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from slotbench.selection.rule import Rule, check_settings, fills_its_memory, same_layout


class Layer(NamedTuple):
    """What a step needs to know of one layer: tensors of one shape, type and layout."""

    weight: Tensor
    gradient: Tensor
    b: Tensor
    momentum: Tensor
    a: float


class Settings(NamedTuple):
    """SGD's, of one group, at one step."""

    lr: float
    momentum: float
    weight_decay: float
    nesterov: bool


class Slots(Rule):
    """SGD on the scores of K random options per connection; the parameters hold the selected options.

    Arguments as of `rule.Rule`, of which `k` is needed. The gradient that autograd leaves in a parameter is that of its
    selected weight; every score's gradient is that times its option (the straight-through estimator of the paper's
    section 3). As torch.optim.SGD does, a step leaves the scores of a layer without a gradient as they are.

    Weights that something else has written in place since they were selected, as a network's `load_state_dict` does,
    are selected again at the next step (what goes by `.data` cannot be seen). A b that is infinite or not a number,
    of a training that diverges, selects one of its connection's options, not always that of the textbook's argmax.
    """

    kept = ("b", "momentum")

    def __init__(self, params: Iterable[Any], *, k: int, **settings: Any) -> None:
        self.training = True
        self._written: dict[Tensor, tuple[int, int]] = {}
        super().__init__(params, k=k, **settings)

    @property
    def a(self) -> dict[Tensor, float]:
        """Of each layer."""
        return {weight: a for group in self.param_groups for weight, a in zip(group["params"], group["a"], strict=True)}

    def _new_group(self, parameters: int) -> dict[str, Any]:
        # Lists that are replaced and never changed: a state is of its own time.
        return super()._new_group(parameters) | {"a": [1.0] * parameters, "a_momentum": [0.0] * parameters}

    def _offer(self, weights: list[Tensor]) -> None:
        super()._offer(weights)
        for weight in weights:
            self.state[weight] = {name: torch.zeros_like(weight).detach() for name in self.kept}

    def _begin(self, weights: list[Tensor]) -> None:
        super()._begin(weights)
        self._note(weights)

    def _note(self, weights: Iterable[Tensor]) -> None:
        """Takes down that `weights` are what the rule has selected."""
        self._written |= {weight: written(weight) for weight in weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for weight in self._weights():
            self._place(weight)
        self._select_all()

    def _select_all(self) -> None:
        self._select(self._weights())
        self._note(self._weights())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._note(self._written)  # of a copy, whose weights lie elsewhere

    def train(self) -> None:
        self.training = True

    def eval(self) -> None:
        self.training = False

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of SGD on all scores, then the selection that follows from them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            check_settings(group)
            settings = Settings(float(group["lr"]), group["momentum"], group["weight_decay"], group["nesterov"])
            for weight in group["params"]:
                self._check(weight)
            trained = [place for place, weight in enumerate(group["params"]) if weight.grad is not None]
            advance_a(group, trained, settings)
            layers = [self._layer(group["params"][place], group["a"][place]) for place in trained]
            if layers:
                self._step(layers, settings)
            self._note(group["params"])
        return loss

    def _check(self, weight: Tensor) -> None:
        """Makes a weight whose place in memory has changed, or whose values, what the rule selects again."""
        b = self.state[weight]["b"]
        if weight.dtype != b.dtype or weight.device != b.device or weight.shape != b.shape:
            raise RuntimeError(
                f"a parameter is now {described(weight)}, and was {described(b)} when its optimizer was built: "
                "move the network first, then build its optimizer"
            )
        moved = not same_layout(weight, b)
        if moved:
            if not fills_its_memory(weight):
                raise RuntimeError(f"a parameter, {described(weight)}, no longer fills its memory: clone it")
            for name, tensor in self.state[weight].items():
                self.state[weight][name] = torch.empty_like(weight).detach().copy_(tensor)
            self._place(weight)
        if moved or self._written[weight] != written(weight):
            self._select([weight])

    def _place(self, weight: Tensor) -> None:
        """Takes up that the layout of a layer in memory may have changed."""

    def _layer(self, weight: Tensor, a: float) -> Layer:
        state = self.state[weight]
        return Layer(weight, gradient_of(weight), state["b"], state["momentum"], a)

    def _step(self, layers: list[Layer], settings: Settings) -> None:
        """Trains b and selects again, for the layers of one group that have a gradient."""
        raise NotImplementedError  # abstract: each rule has its own


def train_b(layers: list[Layer], settings: Settings) -> None:
    """torch's own SGD on b."""
    _, gradients, b, momentum, _ = (list(column) for column in zip(*layers, strict=True))
    sgd(b, gradients, momentum, **settings._asdict(), dampening=0.0, maximize=False)


def advance_a(group: dict[str, Any], trained: list[int], settings: Settings) -> None:
    """One step of SGD on the a of layers that have a gradient. That of a is 0: only weight decay moves it, and with
    momentum it can cross 0."""
    lr, momentum, decay, nesterov = settings
    a, velocities = list(group["a"]), list(group["a_momentum"])
    for place in trained:
        change = decay * a[place]
        if momentum != 0:
            velocities[place] = momentum * velocities[place] + change
            change = change + momentum * velocities[place] if nesterov else velocities[place]
        a[place] -= lr * change
    group |= {"a": a, "a_momentum": velocities}


def gradient_of(weight: Tensor) -> Tensor:
    """The gradient of `weight`, in its type and its layout."""
    gradient = weight.grad
    assert gradient is not None
    if gradient.layout is not torch.strided or gradient.is_complex():
        raise RuntimeError(f"a gradient is {gradient.dtype}, {gradient.layout}: has to be dense and real")
    if gradient.dtype == weight.dtype and not gradient.is_neg() and same_layout(gradient, weight):
        return gradient
    return torch.empty_like(weight).copy_(gradient)


def written(weight: Tensor) -> tuple[int, int]:
    """What changes when something writes to a tensor in place, or puts another in its place."""
    return weight._version, weight.data_ptr()


def described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {tensor.dtype} on {tensor.device}"
