"""timm's Muon in fewer and larger operations."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from timm.optim import Muon

# The parts of timm's Muon, which have no public names.
from timm.optim.muon import (
    _COEFFICIENTS,
    _is_suitable_for_muon,
    get_lr_scale,
    resolve_ns_coefficients,
    zeropower_via_newtonschulz,
)
from torch.optim.adamw import adamw

# On a CPU a product in bfloat16 takes 30 microseconds to prepare: below so many multiplications float32 is faster. It
# also is for matrices that are so many times wider than high, as it can iterate on their Gram matrices.
_SMALL, _WIDE = 4_000_000, 5

# Rows and columns are filled up with zeros to multiples of these, so that more matrices make one batch.
_ROWS, _COLUMNS = 32, 128


class BatchedMuon(Muon):
    """timm's Muon, same settings, state and results up to rounding, in less time on a CPU.

    A network has hundreds of small parameters, and an operation on one of them costs more in calls than in arithmetic:
    matrices of similar shapes are orthogonalised as one batch, the tall ones transposed and all filled up with zeros,
    which stay zeros; all other parameters take one fused step of AdamW.

    Plain Muon only: `nesterov`, `algo="adamuon"`, `conv_mode="batched"`, `scale_eps` and `capturable` are timm's own.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; as in timm, matrices and convolutions are orthogonalised, all else takes AdamW."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike, rest = defaultdict(list), []
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if self._started(parameter)["use_muon"]:
                    alike[_filled_size(parameter.shape)].append(parameter)
                else:
                    rest.append(parameter)
            coefficients = resolve_ns_coefficients(group["ns_coefficients"], _COEFFICIENTS)
            for size, parameters in alike.items():
                self._orthogonal_step(parameters, size, coefficients, group)
            if rest:
                self._adamw_step(rest, group)
        return loss

    def _started(self, parameter: torch.Tensor) -> dict[str, Any]:
        """Return the state of a parameter, as timm begins it."""
        state = self.state[parameter]
        if not state:
            state["use_muon"] = _is_suitable_for_muon(parameter)
            if state["use_muon"]:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            else:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        if not state["use_muon"]:  # a checkpoint leaves it on the CPU, which the fused step of a GPU does not take
            state["step"] = state["step"].to(parameter.device)
        return state

    def _orthogonal_step(
        self,
        parameters: list[torch.Tensor],
        size: tuple[int, int],
        coefficients: list[tuple[float, float, float]],
        group: dict[str, Any],
    ) -> None:
        """Take the step of matrices of up to this size; a convolution is one of (out, in * height * width)."""
        momenta = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(momenta, _gradients(parameters), 1 - group["momentum"])
        matrices = momenta[0].new_zeros(len(momenta), *size, dtype=torch.float32)
        for matrix, momentum in zip(matrices, momenta, strict=True):
            _part_of(matrix, momentum.shape).copy_(momentum)
        orthogonalise = by_gram_matrices if _suits_float32(matrices) else zeropower_via_newtonschulz
        update = orthogonalise(
            matrices, group["ns_steps"], coefficients, eps=group["eps"], safety_factor=group["safety_factor"]
        )
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for parameter, direction in zip(parameters, update, strict=True):
            rule = group["adjust_lr_fn"]
            scale = get_lr_scale(torch.Size(_matrix_size(parameter.shape)), rule) if rule else 1.0
            parameter.add_(_part_of(direction, parameter.shape), alpha=-group["lr"] * scale)

    def _adamw_step(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            _gradients(parameters),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"] * group["fallback_lr_scale"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def by_gram_matrices(
    matrices: torch.Tensor,
    steps: int,
    coefficients: Sequence[tuple[float, float, float]],
    eps: float,
    safety_factor: float,
) -> torch.Tensor:
    """Return timm's `zeropower_via_newtonschulz` in float32, with fewer multiplications where matrices are wide.

    Each iteration multiplies by a polynomial in the Gram matrix, and all of these commute: the iterations are done on
    the Gram matrix alone, and their product is applied once. Rounding in it grows by the square of the first
    coefficient in each step, about twelve: exact enough for Muon's five, and useless from nine on.

    Args:
        matrices: (N, m, n) float32, m <= n.
        steps: Iterations, at least 1.
        coefficients: Of the polynomials, timm's; the last ones are repeated.
        eps: Least norm to divide by.
        safety_factor: Of the norm.

    Returns:
        (N, m, n), with singular values near 1.
    """
    norms = matrices.norm(dim=(1, 2), keepdim=True)
    matrices = matrices / (norms * safety_factor).clamp(min=eps)
    gram, polynomials = matrices @ matrices.mT, []
    for step in range(steps):
        a, b, c = coefficients[min(step, len(coefficients) - 1)]
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        polynomials.append(polynomial)
        if step < steps - 1:
            gram = polynomial @ gram @ polynomial
    return reduce(torch.matmul, polynomials) @ matrices


def _suits_float32(matrices: torch.Tensor) -> bool:
    """Return whether float32 is faster than bfloat16 for wide matrices, (N, m, n).

    Not a question to the processor: processes on different ones must take the same steps.
    """
    rows, columns = matrices.shape[1:]
    return matrices.device.type == "cpu" and (matrices.numel() * rows < _SMALL or columns >= _WIDE * rows)


def _gradients(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _matrix_size(shape: torch.Size) -> tuple[int, int]:
    """Return rows and columns of a parameter as a matrix."""
    return shape[0], shape[1:].numel()


def _filled_size(shape: torch.Size) -> tuple[int, int]:
    """Return the size of the wide matrix that holds a parameter as a matrix, or its transpose."""
    size = _matrix_size(shape)
    return math.ceil(min(size) / _ROWS) * _ROWS, math.ceil(max(size) / _COLUMNS) * _COLUMNS


def _part_of(matrix: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the view of a matrix that holds a parameter, with the parameter's shape."""
    rows, columns = _matrix_size(shape)
    fits = rows <= matrix.shape[0] and columns <= matrix.shape[1]
    return (matrix[:rows, :columns] if fits else matrix[:columns, :rows].mT).unflatten(1, shape[1:])
