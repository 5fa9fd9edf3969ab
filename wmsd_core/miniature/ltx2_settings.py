"""Settings of the adapter for the miniature's LTX-2. Imports no torch, so that recipes stay quick."""

from wmsd_core.generators.settings import Ltx2Config, Ltx2Guidance

FRAMES = 9
"""Frames of a clip: the given one and eight that follow, one latent frame each."""
SIDE = 160
"""Pixels along each side of a video: five cells of 32, one latent each."""
TEXT_LENGTH = 24
"""Tokens of a text, padding included."""


def adapter(weights: str) -> Ltx2Config:
    """Any number of steps, nothing to guide away from, no sound; the given picture as it is."""
    return Ltx2Config(
        weights=weights,
        width=SIDE,
        height=SIDE,
        frames=FRAMES,
        schedule="full",
        guidance=Ltx2Guidance(text=1, perturbation=0, modality=1, rescale=0),
        audio="off",
        text_length=TEXT_LENGTH,
        image_crf=0,
        device="cpu",
        dtype="float32",
        activation_checkpointing=False,
        tiled_decode=False,
    )
