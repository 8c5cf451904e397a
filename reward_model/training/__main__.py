"""`accelerate launch -m reward_model.training CONFIG --out RUN`: `identity-reward train-reward` in many processes."""

import typer

from .cli import train_reward

if __name__ == "__main__":
    typer.run(train_reward)
