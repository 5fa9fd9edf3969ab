"""Rewards of a rollout: judged by a vision-language model, and the agreement with the Demonstrator. NaN = not scored."""
