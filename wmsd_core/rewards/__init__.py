"""Rewards of a rollout: a vision-language model's judgments, and agreement with the Demonstrator. NaN = not scored."""
