"""Training of the Executor: rollouts, rewards, advantages, losses, and a run that can be stopped at any instant."""
