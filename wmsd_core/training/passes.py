"""Passes of the network that a step asks for: docs/forward-passes.md as arithmetic."""

from wmsd_core.training.arms import Lesson
from wmsd_core.training.config import AwmConfig, NftConfig, TrainConfig
from wmsd_core.training.throughput import Passes


def sampling_passes(config: TrainConfig, lesson: Lesson) -> Passes:
    """Of a step: the sampler's, the Demonstrator's along its trajectories where the two are compared, and those of its own
    clips, one per task, where these are looked at."""
    actors = (lesson.actor is not None) + (config.agreement_weight(lesson) > 0)
    clips = config.tasks_per_step * (config.group_size * actors + config.vetted(lesson))
    return Passes(config.sampler_steps * clips, 0)


def learning_passes(config: TrainConfig, lesson: Lesson) -> Passes:
    """Of a step, if every sample has an advantage and a Demonstrator: all updates'. Without one, a loss leaves it out."""
    plain = trained = 0
    if lesson.reinforced:
        settings, levels = config.reinforcement_settings, levels_of_policy(config)
        references = bool(settings.kl_base) + bool(settings.kl_ema) + isinstance(settings, NftConfig)
        plain, trained = levels * references, levels
    match lesson.teaching:
        case "anchor" | "off_policy":
            known = config.agreement_weight(lesson) > 0 or lesson.actor == lesson.demonstrator
            plain, trained = plain + config.anchor_states * (not known), trained + config.anchor_states
        case "dmd":
            plain, trained = plain + 2, trained + 2
        case "sft":
            trained += config.sft.times
        case None:
            pass
    updates = config.reinforcement_settings.updates
    samples, recalled = config.tasks_per_step * config.group_size, recall_passes(config, lesson)
    return Passes(updates * (plain * samples + recalled.plain), updates * (trained * samples + recalled.trained))


def recall_passes(config: TrainConfig, lesson: Lesson) -> Passes:
    """Of what an update recalls, once all have been met: k of the sampler as far as level k, and one of either there."""
    tasks, levels = config.recalled(lesson), config.sampler_steps
    return Passes(tasks * (levels * (levels - 1) // 2 + levels), tasks * levels)


def levels_of_policy(config: TrainConfig) -> int:
    """Noise levels at which the policy loss trains each sample."""
    settings = config.reinforcement_settings
    if isinstance(settings, AwmConfig | NftConfig):
        return settings.times
    return config.grpo.size or len(config.grpo.random_steps(config.sampler_steps))


def latents_per_pass(config: TrainConfig) -> int:
    """The most latents that go through the network at once: a micro-batch, or all trained levels of one sample."""
    lessons = config.lessons
    levels = levels_of_policy(config) if any(lesson.reinforced for lesson in lessons) else 1
    return max(config.micro_batch, levels, config.sft.times if config.arm == "sft" else 1)
