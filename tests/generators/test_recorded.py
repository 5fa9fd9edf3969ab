"""Recorded videos as states, on tiny models of the real classes."""

import numpy as np
import pytest
import torch

from tests.generators import tiny

VIDEO = np.random.default_rng(0).integers(0, 256, (1, 9, 64, 64, 3), np.uint8)


@pytest.mark.parametrize(("name", "changes"), [("ltx2-2.0", {"audio": "off"}), ("hunyuan15", {})])
def test_a_recorded_video_is_the_autoencoders_latent_in_the_frame_of_the_given_image(
    name: str, changes: dict[str, str]
) -> None:
    made = tiny.generator(name, **changes)
    condition = made.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    x_0, mask = made.encode_video(VIDEO, condition), made.active_mask(condition)
    start = made.noise(condition, [1])
    assert x_0.shape == start.shape and x_0.dtype == torch.float32
    assert torch.equal(x_0[~mask.expand_as(x_0)], start[~mask.expand_as(x_0)])
    pixels = torch.from_numpy(VIDEO).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    with torch.no_grad():
        latent = made.vae.encode(pixels).latent_dist.mode()
        # The decoder's own input, from the state: normalisation and order of tokens undone.
        seen: list[torch.Tensor] = []
        made.vae.decode = lambda z, *_, **__: (seen.append(z), (torch.zeros(1, 3, 9, 64, 64),))[1]
        made._decode(x_0[0])
    torch.testing.assert_close(seen[0][:, :, 1:], latent[:, :, 1:], rtol=1e-4, atol=1e-4)


def test_recordings_that_do_not_fit_are_refused_with_what_to_change() -> None:
    made = tiny.generator("ltx2-2.0")
    condition = made.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    with pytest.raises(ValueError, match=r"models\.ltx2\.frames = 9"):
        made.encode_video(VIDEO[:, :5], condition)
    with pytest.raises(ValueError, match=r"set models\.ltx2\.audio to off"):
        made.encode_video(VIDEO, condition)
