"""A video autoencoder of LTX-2's class for the miniature's clips, whose weights are computed and not trained.

A clip has 1 + 8 frames of 160x160 pixels: a cell is 32x32, and each of the drawing's pixels 8x8. The encoder takes the mean
of each, then lays what a cell shows in eight frames on its 128 principal components; the decoder goes the same way back.
Both are linear up to a part in ten thousand: the norm and the nonlinearity of each meet numbers that are tiny beside a
constant in a channel of its own. Of the frames nothing is lost but what lies beyond the components.

A latent pixel is a cell: [C] = 128 numbers, 120 of them coordinates, each in units of its own deviation. The first frame counts
as eight. The last eight say where the cell is, as latents of trained autoencoders do at the edges of pictures, by what zero
padding leaves there: the network's position embedding is relative, and would otherwise know no column from another.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_ltx2 import AutoencoderKLLTX2Video
from torch import Tensor, nn

from wmsd_core.arrays import Videos
from wmsd_core.miniature.drawing import CELL
from wmsd_core.miniature.ltx2_settings import FRAMES
from wmsd_core.miniature.scene import SIDE

PIXEL = 8
"""Pixels of a video along one of the drawing's."""
CHANNELS = 128
COORDINATES = 120
_STRIDE = FRAMES - 1
_CUT = 3 * _STRIDE * CELL * CELL
"""Numbers that a cell shows in eight frames: 384."""
_LARGE = 8192.0
"""The constant beside which signals are small. A power of two, so that half precision holds it."""
_MARK = 2.0**-10
"""Share by which the constant is larger where a cell has a neighbour."""
_SURE = -30.0
"""Logarithm of the variance of latents: the encoder is certain."""


@dataclass(frozen=True)
class Components:
    """Mean [384] of what cells show, directions [384, 120] of unit length, and the deviation [120] along each."""

    mean: Tensor
    directions: Tensor
    deviation: Tensor

    def encode(self, frames: np.ndarray) -> Tensor:
        """float32 [B, 50, C] of drawn frames [B, 9, 20, 20, 3] in [0, 1]: tokens in the order (frame, row, column)."""
        given = _cells(np.repeat(frames[:, :1], _STRIDE, axis=1))
        rest = _cells(frames[:, 1:])
        coordinates = (torch.cat([given, rest], 1) - self.mean) @ self.directions / self.deviation
        return torch.cat([coordinates, _places().expand(len(frames), -1, -1)], -1)


def principal(clips: np.ndarray) -> Components:
    """The components of clips [B, 9, 20, 20, 3] in [0, 1], the first frame counted as eight."""
    still = np.repeat(clips[:, :1], _STRIDE, axis=1)
    cells = torch.cat([_cells(still), _cells(clips[:, 1:])], 1).reshape(-1, _CUT).double()
    variance, directions = torch.linalg.eigh(cells.T.cov())
    variance, directions = variance.flip(0)[:COORDINATES], directions.flip(1)[:, :COORDINATES]
    # A direction and its opposite serve equally: the sign is fixed by the largest entry.
    peak = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    directions = (directions * peak.sign()).float().contiguous()
    return Components(cells.mean(0).float(), directions, variance.sqrt().float())


def build(components: Components) -> AutoencoderKLLTX2Video:
    """The autoencoder with these components as its weights."""
    vae = AutoencoderKLLTX2Video(
        latent_channels=CHANNELS,
        block_out_channels=(8, 64, 512),
        down_block_types=("LTX2VideoDownBlock3D",) * 3,
        layers_per_block=(0, 0, 0, 0),
        spatio_temporal_scaling=(True, True, True),
        downsample_type=("temporal", "spatiotemporal", "spatiotemporal"),
        decoder_block_out_channels=(8, 64, CHANNELS),
        decoder_layers_per_block=(0, 0, 0, 0),
        upsample_type=("spatiotemporal", "spatiotemporal", "temporal"),
        upsample_residual=(False, False, False),
        upsample_factor=(2, 8, 2),
        patch_size=PIXEL,
        decoder_causal=False,
        spatial_compression_ratio=PIXEL * CELL,
        temporal_compression_ratio=_STRIDE,
    )
    for weight in vae.parameters():
        nn.init.zeros_(weight)
    with torch.no_grad():
        _fill_encoder(vae.encoder, components)
        _fill_decoder(vae.decoder, components)
        places = torch.full((CHANNELS - COORDINATES,), 0.5)
        vae.latents_mean.copy_(torch.cat([components.mean @ components.directions, places]))
        vae.latents_std.copy_(torch.cat([components.deviation, places]))
    return vae.requires_grad_(False).eval()


def _fill_encoder(encoder: Any, components: Components) -> None:
    """Means of 8x8 pixels; colours and a constant; space and time into channels; components."""
    shrink, select, last = encoder.conv_in.conv, encoder.down_blocks[0].downsamplers[0].conv.conv, encoder.conv_out.conv
    area, group = PIXEL * PIXEL, CHANNELS // 8
    for colour in range(3):
        # Each colour with its negative: what passes by the convolution, the mean of a group of channels, is then zero.
        shrink.weight[colour * group, colour * area : (colour + 1) * area, -1, 1, 1] = 1 / area
        shrink.weight[colour * group + 1, colour * area : (colour + 1) * area, -1, 1, 1] = -1 / area
        select.weight[colour, colour * group, -1, 1, 1] = 1
    select.bias[3] = _LARGE
    # Of 512 channels a quarter is the constant: normalised, a signal s is 2 s / constant, and half of it after the SiLU.
    last.weight[:COORDINATES, :_CUT, -1, 1, 1] = components.directions.T * _LARGE
    last.bias[CHANNELS] = _SURE
    _mark_places(encoder.down_blocks[2].downsamplers[0].conv.conv, last)


def _mark_places(halving: Any, last: Any) -> None:
    """Whether a cell is past the first column, past the second, before the last, before the last but one; likewise rows.

    The last halving meets the constant in a neighbour, or nothing beyond the edge; the last convolution asks the cell, and
    its neighbour.
    """
    bright = torch.nn.functional.silu(torch.tensor([2.0, 2 + 2 * _MARK], dtype=torch.float64))
    strength = float(1 / (bright[1] - bright[0]))
    reference = _CUT + 8 * 8
    for side, (row, column) in enumerate(((1, 0), (1, 2), (0, 1), (2, 1))):
        channel = _CUT // 8 + side
        halving.weight[channel, _CUT // 8, -1, row, column] = _MARK
        # Of the eight channels that each becomes: the pixel at that edge of the cell.
        marked = channel * 8 + 2 * (row == 2) + (column == 2)
        for out, tap in ((COORDINATES + 2 * side, (1, 1)), (COORDINATES + 2 * side + 1, (row, column))):
            last.weight[out, marked, -1, *tap] = strength
            last.weight[out, reference, -1, *tap] = -strength


def _fill_decoder(decoder: Any, components: Components) -> None:
    """Components back to cells; channels into space and time; colours into 8x8 pixels."""
    channels = torch.arange(CHANNELS)
    decoder.conv_in.conv.weight[channels, channels, 1, 1, 1] = 1
    first, second, third = (block.upsamplers[0].conv.conv for block in decoder.up_blocks)
    first.weight[:_CUT, :COORDINATES, 1, 1, 1] = components.directions
    first.bias[:_CUT] = components.mean - components.directions @ (components.directions.T @ components.mean)
    for conv in (second, third):
        channels = torch.arange(len(conv.weight))
        conv.weight[channels, channels, 1, 1, 1] = 1
    third.bias[6:] = _LARGE
    area = PIXEL * PIXEL
    for colour in range(3):
        decoder.conv_out.conv.weight[colour * area : (colour + 1) * area, colour, 1, 1, 1] = _LARGE


def enlarge(frames: np.ndarray) -> Videos:
    """Drawn frames [..., 20, 20, 3] in [0, 1] as videos of 160x160 pixels, uint8."""
    pixels = np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)
    return pixels.repeat(PIXEL, axis=-3).repeat(PIXEL, axis=-2)


def _cells(frames: np.ndarray) -> Tensor:
    """float32 [B, 25, 384] in [-1, 1] of frames [B, 8, 20, 20, 3] in [0, 1], numbers in the order of the encoder's channels."""
    halves = (2, 2, 2, SIDE, 2, 2, SIDE, 2, 2, 3)
    cut = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32)).view(len(frames), *halves) * 2 - 1
    # As the encoder folds halves into channels: time first, then time, row and column, then these once more.
    return cut.permute(0, 4, 7, 10, 3, 2, 6, 9, 1, 5, 8).reshape(len(frames), SIDE * SIDE, _CUT)


def _places() -> Tensor:
    """float32 [1, 50, 8] of -1 and 1: what the encoder says of where a cell is."""
    row, column = torch.arange(SIDE * SIDE) // SIDE, torch.arange(SIDE * SIDE) % SIDE
    marks = [column >= 1, column >= 2, column <= SIDE - 2, column <= SIDE - 3]
    marks += [row >= 1, row >= 2, row <= SIDE - 2, row <= SIDE - 3]
    return torch.stack(marks, -1).float().repeat(2, 1)[None] * 2 - 1
