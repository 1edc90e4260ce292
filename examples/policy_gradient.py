"""REINFORCE (Williams, 1992) with a learned baseline, on a pole that is to be balanced (gymnasium's CartPole-v1).

python examples/policy_gradient.py --episodes 400
"""

from __future__ import annotations

import argparse
from collections import deque

import gymnasium as gym
import numpy as np

import numbagrad as ng
from numbagrad import Tensor, nn, optim


class Policy(nn.Module):
    """Shared layers, scores of the actions, and an estimate of what is still to be won."""

    def __init__(self, observations: int, actions: int, width: int = 64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(observations, width), nn.Tanh())
        self.actions = nn.Linear(width, actions)
        self.value = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.actions(h), self.value(h).squeeze(-1)


def play(environment: gym.Env, policy: Policy, draw: np.random.Generator, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One episode: what was seen, what was done, and the rewards."""
    seen, done, rewards = [], [], []
    observation, _ = environment.reset(seed=seed)
    over = False
    while not over:
        with ng.no_grad():
            chances = nn.functional.softmax(policy(ng.from_numpy(observation))[0], -1).numpy()
        action = int(draw.choice(len(chances), p=chances / chances.sum(dtype=np.float64)))
        seen.append(observation)
        done.append(action)
        observation, reward, terminated, truncated, _ = environment.step(action)
        rewards.append(float(reward))
        over = terminated or truncated
    return np.stack(seen), np.array(done), np.array(rewards)


def returns(rewards: np.ndarray, discount: float) -> np.ndarray:
    """What was won from each step on, later rewards counting less."""
    found, total = np.zeros(len(rewards), np.float32), 0.0
    for i in reversed(range(len(rewards))):
        found[i] = total = rewards[i] + discount * total
    return found


def main(episodes: int = 400, discount: float = 0.99, goal: float = 475.0) -> list[float]:
    """Learn until the mean of the last fifty episodes reaches ``goal``; returns the length of every episode."""
    ng.manual_seed(0)
    draw = np.random.default_rng(0)
    environment = gym.make("CartPole-v1")
    policy = Policy(environment.observation_space.shape[0], environment.action_space.n)
    optimizer = optim.Adam(policy.parameters(), lr=5e-3)
    lengths, last = [], deque(maxlen=50)
    for episode in range(episodes):
        seen, done, rewards = play(environment, policy, draw, seed=episode)
        won = ng.from_numpy(returns(rewards, discount)) / 100
        scores, value = policy(ng.from_numpy(seen))
        chosen = nn.functional.log_softmax(scores, -1).gather(1, ng.from_numpy(done).unsqueeze(1)).squeeze(1)
        advantage = won - value.detach()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)  # so that steps are of one size, however long the episode was
        loss = -(chosen * advantage).mean() + nn.functional.mse_loss(value, won)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        lengths.append(float(rewards.sum()))
        last.append(lengths[-1])
        if episode % 50 == 49:
            print(f"episode {episode + 1}: the last 50 lasted {np.mean(last):.0f} steps", flush=True)
        if len(last) == last.maxlen and np.mean(last) >= goal:
            break
    environment.close()
    return lengths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--episodes", type=int, default=400, help="most episodes to play")
    main(parser.parse_args().episodes)
