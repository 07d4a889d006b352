"""The paper's algorithm as plainly as it can be written: K stored scores a connection, trained by torch's SGD."""

from typing import Any

import torch
from torch import Tensor, nn

from slotbench.selection.options import Options


class Textbook:
    """K stored scores per connection of each weight; `step` is the paper's backward pass, literally.

    The gradient of score k is the gradient of the selected weight times option k. The scores are torch parameters
    and torch.optim.SGD trains them, whatever its settings; greedy takes their argmax, probabilistic sampling draws
    from their softmax.
    """

    def __init__(self, weights: list[nn.Parameter], drawn: list[Options], sampling: bool = False, **sgd: Any) -> None:
        self.weights, self.sampling = weights, sampling
        self.options: list[Tensor] = []
        self.scores: list[nn.Parameter] = []
        for weight, layer in zip(weights, drawn, strict=True):
            options, scores = (
                torch.from_numpy(array).to(weight).view(*weight.shape, layer.k) for array in layer.whole()
            )
            self.options.append(options)
            self.scores.append(nn.Parameter(scores.clone()))
        self.optimizer = torch.optim.SGD(self.scores, **sgd)
        self.param_groups = self.optimizer.param_groups
        self.select()

    @torch.no_grad()
    def select(self) -> None:
        self.selected = []
        for weight, options, scores in zip(self.weights, self.options, self.scores, strict=True):
            if self.sampling:
                rows = scores.softmax(-1).view(-1, scores.shape[-1])
                choice = torch.multinomial(rows, 1).view(*weight.shape, 1)
            else:
                choice = scores.argmax(-1, keepdim=True)
            weight.copy_(options.gather(-1, choice).squeeze(-1))
            self.selected.append(choice.squeeze(-1))

    def step(self) -> None:
        for weight, options, scores in zip(self.weights, self.options, self.scores, strict=True):
            scores.grad = None if weight.grad is None else weight.grad[..., None] * options
        self.optimizer.step()
        self.select()
