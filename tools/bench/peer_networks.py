"""Other networks for the same task, built from their published shapes with random weights, for timing only.

- EfficientNet-B0 at 224 x 224 (Tan and Le 2019, table 1), the backbone of HSEmotion's `enet_b0_8` models, with its
  eight emotions.
- A network of EmoNet's shapes at 256 x 256 (Toisoul et al. 2021): a face alignment network of two hourglasses whose
  heat maps weight the features for an emotion head.

Their outputs have no meaning; tests compare their numbers of parameters and operations with the published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EMOTIONS = 8
EFFICIENTNET_SIDE, EMONET_SIDE = 224, 256
# Expansion, channels, blocks, stride of the first, kernel: table 1 of Tan and Le.
_B0 = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
       (6, 320, 1, 1, 3))  # fmt: skip
_LANDMARKS, _FEATURES, _HOURGLASS_DEPTH = 68, 256, 4


def efficientnet_b0(classes: int = EMOTIONS) -> nn.Module:
    """Build EfficientNet-B0: N x 3 x 224 x 224 -> N x classes."""
    blocks: list[nn.Module] = [_convolution(3, 32, 3, 2)]
    channels = 32
    for expansion, width, count, stride, kernel in _B0:
        for index in range(count):
            blocks.append(_InvertedBottleneck(channels, width, expansion, stride if index == 0 else 1, kernel))
            channels = width
    head = [_convolution(channels, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, classes)]
    return nn.Sequential(*blocks, *head).eval()


def _convolution(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.SiLU(inplace=True))


class _InvertedBottleneck(nn.Module):
    """Expand, filter each channel, weight the channels, project."""

    def __init__(self, channels: int, width: int, expansion: int, stride: int, kernel: int):
        super().__init__()
        inner = channels * expansion
        self.widen = _convolution(channels, inner, 1) if expansion > 1 else nn.Identity()
        self.filter = _convolution(inner, inner, kernel, stride, inner)
        squeezed = max(1, channels // 4)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inner, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, inner, 1),
            nn.Sigmoid(),
        )
        self.narrow = nn.Sequential(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))
        self.shortcut = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        y = self.filter(self.widen(x))
        y = self.narrow(y * self.weigh(y))
        return x + y if self.shortcut else y


class EmoNetShaped(nn.Module):
    """N x 3 x 256 x 256 -> N x (8 emotions, valence, arousal)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), _Pyramid(64, 128))
        self.trunk = nn.Sequential(nn.MaxPool2d(2), _Pyramid(128, 128), _Pyramid(128, _FEATURES))
        self.hourglasses = nn.ModuleList(_Hourglass(_HOURGLASS_DEPTH) for _ in range(2))
        self.tops = nn.ModuleList(
            nn.Sequential(
                _Pyramid(_FEATURES, _FEATURES), nn.Conv2d(_FEATURES, _FEATURES, 1), nn.BatchNorm2d(_FEATURES), nn.ReLU()
            )
            for _ in range(2)
        )
        self.heat_maps = nn.ModuleList(nn.Conv2d(_FEATURES, _LANDMARKS, 1) for _ in range(2))
        self.features_back = nn.Conv2d(_FEATURES, _FEATURES, 1)
        self.heat_back = nn.Conv2d(_LANDMARKS, _FEATURES, 1)
        reduce = [nn.Conv2d(3 * _FEATURES, _FEATURES, 1)]
        shrink = [layer for _ in range(4) for layer in (_Pyramid(_FEATURES, _FEATURES), nn.MaxPool2d(2))]
        self.emotion = nn.Sequential(*reduce, *shrink, nn.AvgPool2d(4), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(_FEATURES, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, EMOTIONS + 2)
        )

    def forward(self, faces: Tensor) -> Tensor:
        """N x 3 x 256 x 256 -> N x 10."""
        x = self.trunk(self.stem(faces))
        first = self.tops[0](self.hourglasses[0](x))
        carried = self.features_back(first)
        second = self.tops[1](self.hourglasses[1](x + carried + self.heat_back(self.heat_maps[0](first))))
        attention = self.heat_maps[1](second).sum(dim=1, keepdim=True)
        return self.head(self.emotion(torch.cat([x, carried * attention, second * attention], dim=1)))


class _Pyramid(nn.Module):
    """Three 3 x 3 convolutions whose outputs are concatenated, with a shortcut (Bulat and Tzimiropoulos 2017)."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        sizes = ((channels, width // 2), (width // 2, width // 4), (width // 4, width // 4))
        self.steps = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, b, 3, 1, 1, bias=False)) for a, b in sizes
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels != width:
            self.shortcut = nn.Sequential(
                nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, width, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        outputs, y = [], x
        for step in self.steps:
            y = step(y)
            outputs.append(y)
        return torch.cat(outputs, dim=1) + self.shortcut(x)


class _Hourglass(nn.Module):
    """Halve the image `depth` times and scale it up again, with a branch at every size."""

    def __init__(self, depth: int):
        super().__init__()
        self.beside, self.down, self.up = (_Pyramid(_FEATURES, _FEATURES) for _ in range(3))
        self.inner: nn.Module = _Hourglass(depth - 1) if depth > 1 else _Pyramid(_FEATURES, _FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        return self.beside(x) + functional.interpolate(low, scale_factor=2.0)


def emonet_shaped() -> nn.Module:
    """Build a network with EmoNet's shapes."""
    return EmoNetShaped().eval()
