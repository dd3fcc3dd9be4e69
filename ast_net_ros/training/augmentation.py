"""Augmentation of chips as tracked faces vary: rotation, shift, mirror image, light, blur, occlusion.

In and out: N x 1 x S x S float chips (0 to 255) on any device. All randomness comes from the given generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment(chips: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Change every chip at random; values may leave 0 to 255.

    strength: scales the ranges of the changes and the shares of blurred and occluded chips; 0 only mirrors.
    """
    for change in (_move, _relight, _blur_some, _erase_some):
        chips = change(chips, generator, strength)
    return chips


def _uniform(count: int, low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * (high - low) + low).to(like.device)


def _move(chips: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Mirror half of them; rotate by up to 20 degrees, scale by 0.85 to 1.17, shift by 8 % of the side, shear."""
    n = len(chips)
    angle = _uniform(n, -20, 20, chips, generator) * (math.pi / 180 * strength)
    scale = torch.exp(_uniform(n, -0.16, 0.16, chips, generator) * strength)
    shear = _uniform(n, -0.1, 0.1, chips, generator) * strength
    shift = torch.stack([_uniform(n, -0.16, 0.16, chips, generator) for _ in range(2)], dim=1) * strength
    mirror = torch.where(_uniform(n, 0, 1, chips, generator) < 0.5, -1.0, 1.0)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [
        torch.stack([mirror * cosine, shear - sine, shift[:, 0]], 1),
        torch.stack([mirror * sine, cosine, shift[:, 1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(chips.shape), align_corners=False)
    return functional.grid_sample(chips, grid, padding_mode="border", align_corners=False)


def _relight(chips: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Gamma between 0.6 and 1.65 and a light from one side; the network itself normalises brightness and contrast."""
    n, _, side, _ = chips.shape
    gamma = torch.exp(_uniform(n, -0.5, 0.5, chips, generator) * strength).view(n, 1, 1, 1)
    ramp = torch.linspace(-1, 1, side, device=chips.device)
    slope = [(_uniform(n, -0.3, 0.3, chips, generator) * strength).view(n, 1, 1, 1) for _ in range(2)]
    light = 1 + slope[0] * ramp.view(1, 1, 1, side) + slope[1] * ramp.view(1, 1, side, 1)
    return 255 * (chips.clamp(0, 255) / 255).pow(gamma) * light


def _blur_some(chips: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Blur a quarter of the chips, as distant or moving faces are; add a little noise to all."""
    n = len(chips)
    blurred = functional.avg_pool2d(functional.pad(chips, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = _uniform(n, 0, 1, chips, generator) * (_uniform(n, 0, 1, chips, generator) < 0.25 * strength)
    chips = torch.lerp(chips, blurred, share.view(n, 1, 1, 1))
    noise = torch.randn(chips.shape, generator=generator).to(chips.device)
    return chips + noise * _uniform(n, 0, 6 * strength, chips, generator).view(n, 1, 1, 1)


def _erase_some(chips: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Cover half of the chips by a grey rectangle (up to 40 % of each side), as hands, hair and microphones do."""
    n, _, side, _ = chips.shape
    size = [_uniform(n, 0.08, 0.4, chips, generator) * side for _ in range(2)]
    corner = [_uniform(n, 0, 1, chips, generator) * (side - s) for s in size]
    place = torch.arange(side, device=chips.device).view(1, side)
    inside = [(place >= c.view(n, 1)) & (place < (c + s).view(n, 1)) for c, s in zip(corner, size)]
    chosen = (_uniform(n, 0, 1, chips, generator) < 0.5 * strength).view(n, 1, 1)
    mask = (inside[0].view(n, side, 1) & inside[1].view(n, 1, side) & chosen).unsqueeze(1)
    return torch.where(mask, _uniform(n, 0, 255, chips, generator).view(n, 1, 1, 1), chips)
