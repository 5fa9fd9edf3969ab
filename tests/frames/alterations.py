"""Pictures that look like photographs, and what is done to copies of them; for tests and `yardsticks/leaks.py`."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

Alteration = Callable[[Image.Image, np.random.Generator], Image.Image]


def landscape(seed: int, height: int = 360, width: int = 640) -> Image.Image:
    """Noise whose amplitudes fall as 1 / f, as in photographs, with its own colours."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * rng.random((3, height, width // 2 + 1)))
    layers = np.fft.irfft2(phases / frequency, s=(height, width))
    colours = layers / layers.std((1, 2), keepdims=True)
    mixed = np.einsum("cd,dhw->hwc", np.eye(3) * 8 + np.array([[36], [32], [28]]) * [1, 0, 0], colours)
    return Image.fromarray((118 + mixed).clip(0, 255).astype(np.uint8))


def cut(share: float) -> Alteration:
    """A window of this share of each side, anywhere."""

    def altered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(share * picture.width), round(share * picture.height)
        left, top = (
            int(rng.integers(whole - part + 1)) for whole, part in ((picture.width, width), (picture.height, height))
        )
        return picture.crop((left, top, left + width, top + height))

    return altered


def brighter(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray((np.asarray(picture) * 1.08).clip(0, 255).astype(np.uint8))


def mirrored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(picture)


def again(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Written as a JPEG of quality 70."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70)
    return Image.open(buffer).convert("RGB")


def smaller(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.resize((320, round(320 * picture.height / picture.width)), Image.Resampling.LANCZOS)


def one_side(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.crop((0, 0, round(0.85 * picture.width), picture.height))


def after(*steps: Alteration) -> Alteration:
    def altered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        for step in steps:
            picture = step(picture, rng)
        return picture

    return altered


ALTERATIONS: dict[str, Alteration] = {
    "JPEG of quality 70": again,
    "320 pixels wide": smaller,
    "8 % brighter": brighter,
    "mirrored": mirrored,
    "upside down": lambda picture, rng: ImageOps.flip(picture),
    "cut to 90 %": cut(0.9),
    "cut to 80 %": cut(0.8),
    "cut to 70 %": cut(0.7),
    "cut to 85 % on one side": one_side,
    "mirrored, 8 % brighter": after(mirrored, brighter),
    "cut to 80 %, mirrored": after(cut(0.8), mirrored),
    "cut to 70 %, 8 % brighter": after(cut(0.7), brighter),
    "cut to 90 %, mirrored, 8 % brighter, 320 pixels, JPEG": after(cut(0.9), mirrored, brighter, smaller, again),
    "cut to 80 %, mirrored, 8 % brighter, 320 pixels, JPEG": after(cut(0.8), mirrored, brighter, smaller, again),
    "cut to 70 %, mirrored, 8 % brighter, 320 pixels, JPEG": after(cut(0.7), mirrored, brighter, smaller, again),
}
