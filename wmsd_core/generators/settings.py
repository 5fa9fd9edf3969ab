"""Settings of the generators that load pretrained weights. Imports no torch, so that recipes and forms stay quick."""

from typing import Literal

from pydantic import Field

from wmsd_core.config import Config


class PretrainedConfig(Config):
    """What every pretrained generator can be told."""

    weights: str
    """Folder of a diffusers pipeline, or its id on the Hugging Face hub."""
    width: int = Field(gt=0)
    """Width of videos in pixels."""
    height: int = Field(gt=0)
    """Height of videos in pixels."""
    frames: int = Field(gt=0)
    """Frames of a video, the given one included."""
    device: str = "auto"
    """Where the model runs: cpu, cuda, cuda:1, ... auto: a GPU if there is one."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the frozen weights and of activations. States and adapters are float32 always."""
    storage: Literal["same", "float8"] = "same"
    """float8: frozen linears rest as float8_e4m3 and are widened layer by layer, for half the memory of bfloat16 (layerwise
    casting of diffusers). Training then needs `activation_checkpointing`."""
    activation_checkpointing: bool = True
    """Compute each block a second time in the backward pass instead of keeping its activations."""
    tiled_decode: bool = True
    """Decode videos in overlapping tiles: far less memory, faint differences at the seams."""

    def identity(self) -> dict[str, object]:
        """The settings that change what the generator draws. Where weights lie and where they run does not."""
        return self.model_dump(mode="json", exclude={"weights", "device", "activation_checkpointing"})


class Ltx2Guidance(Config):
    """Guidance of the full LTX-2; defaults are the published ones of LTX-2.3. LTX-2.0: text 4, all others off."""

    negative_prompt: str = "worst quality, inconsistent motion, blurry, jittery, distorted"
    """What text guidance leads away from."""
    text: float = Field(default=3.0, ge=1)
    """Classifier-free guidance of the video. 1: off."""
    perturbation: float = Field(default=1.0, ge=0)
    """Spatio-temporal guidance (arXiv:2411.18664) of the video. 0: off. Without effect on LTX-2.0, which cannot do it."""
    modality: float = Field(default=3.0, ge=1)
    """Guidance of the video away from itself without sound. 1: off. Not used where audio is off."""
    rescale: float = Field(default=0.7, ge=0, le=1)
    """How far the deviation of the guided video is brought back to that of the unguided (arXiv:2305.08891)."""
    audio_text: float = Field(default=7.0, ge=1)
    """`text` of the sound."""
    audio_perturbation: float = Field(default=1.0, ge=0)
    """`perturbation` of the sound."""
    audio_modality: float = Field(default=3.0, ge=1)
    """`modality` of the sound."""
    audio_rescale: float = Field(default=0.7, ge=0, le=1)
    """`rescale` of the sound."""
    blocks: tuple[int, ...] = (28,)
    """Transformer blocks that spatio-temporal guidance perturbs."""


class Ltx2Config(PretrainedConfig):
    """LTX-2 image-to-video (arXiv:2601.03233), versions 2.0 and 2.3."""

    weights: str = "rootonchair/LTX-2-19b-distilled"
    """Folder of a diffusers pipeline, or its id on the Hugging Face hub. `schedule` must fit it: the distilled model is
    another checkpoint than the full one (Lightricks/LTX-2)."""
    width: int = Field(default=768, gt=0, multiple_of=32)
    """Width of videos in pixels."""
    height: int = Field(default=512, gt=0, multiple_of=32)
    """Height of videos in pixels."""
    frames: int = Field(default=121, gt=0)
    """Frames of a video, the given one included: 8k + 1."""
    fps: float = Field(default=24.0, gt=0)
    """Frames per second."""
    schedule: Literal["distilled", "full"] = "distilled"
    """distilled: the published grid of 8 steps, and no guidance. full: any number of steps, and `guidance`."""
    guidance: Ltx2Guidance = Ltx2Guidance()
    """Acts with the full schedule only."""
    audio: Literal["joint", "off"] = "joint"
    """joint: sound is sampled with the video, and trained with it. off: the video branch alone, in rollouts and training
    alike; the two differ, for the video otherwise hears its sound."""
    text_length: int = Field(default=1024, gt=0)
    """Most tokens of a text; shorter ones are filled up to it. The published models read 1024."""
    image_crf: int = Field(default=33, ge=0, le=51)
    """Quality of the H.264 pass that the given image goes through, as in the model's training. 0: none."""


class Hunyuan15Config(PretrainedConfig):
    """HunyuanVideo-1.5 image-to-video at 480p."""

    weights: str = "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v"
    """Folder of a diffusers pipeline, or its id on the Hugging Face hub."""
    width: int = Field(default=848, gt=0, multiple_of=16)
    """Width of videos in pixels."""
    height: int = Field(default=480, gt=0, multiple_of=16)
    """Height of videos in pixels."""
    frames: int = Field(default=121, gt=0)
    """Frames of a video, the given one included: 4k + 1."""
    guidance: float = Field(default=6.0, ge=1)
    """Classifier-free guidance. 1: off, as distilled checkpoints need it."""
    negative_prompt: str = ""
    """What guidance leads away from."""


GeneratorConfig = Ltx2Config | Hunyuan15Config
"""Settings of any of them: told apart by their fields."""
