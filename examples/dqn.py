"""Deep Q-learning (Mnih et al., 2015) with a replay memory and a slowly following target network, on gymnasium's CartPole-v1.

python examples/dqn.py --steps 15000
"""

from __future__ import annotations

import argparse
import copy

import gymnasium as gym
import numpy as np

import numbagrad as ng
from numbagrad import nn, optim


class Memory:
    """The last ``size`` transitions, of which batches are drawn."""

    def __init__(self, size: int, observations: int, draw: np.random.Generator):
        self.size, self.count, self.draw = size, 0, draw
        self.state, self.next = np.zeros((size, observations), np.float32), np.zeros((size, observations), np.float32)
        self.action, self.reward, self.over = np.zeros(size, np.int64), np.zeros(size, np.float32), np.zeros(size, np.float32)

    def add(self, state: np.ndarray, action: int, reward: float, following: np.ndarray, over: bool) -> None:
        at = self.count % self.size
        self.state[at], self.action[at], self.reward[at], self.next[at], self.over[at] = state, action, reward, following, over
        self.count += 1

    def batch(self, size: int) -> list[ng.Tensor]:
        at = self.draw.integers(0, min(self.count, self.size), size)
        return [ng.from_numpy(column[at]) for column in (self.state, self.action, self.reward, self.next, self.over)]


class Learner:
    """The network that estimates what each action wins, and its slower copy, which the estimates are measured against."""

    def __init__(self, observations: int, actions: int, discount: float = 0.99, pace: float = 0.01):
        self.net = nn.Sequential(nn.Linear(observations, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, actions))
        self.target = copy.deepcopy(self.net)
        self.optimizer = optim.Adam(self.net.parameters(), lr=1e-3)
        self.discount, self.pace = discount, pace

    @ng.no_grad()
    def best(self, observation: np.ndarray) -> int:
        return int(self.net(ng.from_numpy(observation)).argmax().item())

    def learn(self, state: ng.Tensor, action: ng.Tensor, reward: ng.Tensor, following: ng.Tensor, over: ng.Tensor) -> float:
        with ng.no_grad():  # the network chooses the action, its copy says what it is worth (van Hasselt et al., 2016)
            choice = self.net(following).argmax(1, keepdim=True)
            wanted = reward + self.discount * (1 - over) * self.target(following).gather(1, choice).squeeze(1)
        estimate = self.net(state).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = nn.functional.smooth_l1_loss(estimate, wanted)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self.optimizer.step()
        with ng.no_grad():
            for slow, fast in zip(self.target.parameters(), self.net.parameters()):
                slow.lerp_(fast, self.pace)
        return loss.item()


def main(steps: int = 15000, warm_up: int = 500, batch: int = 64) -> list[float]:
    """Learn for ``steps`` steps of the environment; returns the length of every episode."""
    ng.manual_seed(0)
    draw = np.random.default_rng(0)
    environment = gym.make("CartPole-v1")
    observations, actions = environment.observation_space.shape[0], int(environment.action_space.n)
    learner, memory = Learner(observations, actions), Memory(20000, observations, draw)
    lengths, length = [], 0
    state, _ = environment.reset(seed=0)
    for step in range(steps):
        chance = max(0.05, 1 - step / (steps / 4))  # of trying something
        action = int(draw.integers(actions)) if draw.random() < chance else learner.best(state)
        following, reward, terminated, truncated, _ = environment.step(action)
        memory.add(state, action, float(reward), following, terminated)
        state, length = following, length + 1
        if memory.count >= warm_up:
            learner.learn(*memory.batch(batch))
        if terminated or truncated:
            lengths.append(float(length))
            state, length = environment.reset()[0], 0
        if step % 2500 == 2499:
            print(f"step {step + 1}: the last ten episodes lasted {np.mean(lengths[-10:]):.0f} steps", flush=True)
    environment.close()
    return lengths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=15000, help="steps of the environment to learn from")
    main(parser.parse_args().steps)
