"""REINFORCE in a windy corridor: a Categorical policy, discounted returns with a baseline, an entropy bonus."""

import argparse

import torch
import torch.nn as nn
import torch.optim as optim
from torch.distributions import Categorical


class WindyCorridor:
    """Four rows of five fields, a start at the left of the second row and a goal at its right; where the wind blows one is carried a row up.

    A step costs 0.1, the goal gives 1, and after 20 steps it is over.
    """

    rows, columns = 4, 5
    wind = (0, 0, 1, 0, 0)
    moves = ((-1, 0), (1, 0), (0, -1), (0, 1))

    def reset(self):
        self.row, self.column, self.steps = 1, 0, 0
        return self.observation()

    def observation(self):
        state = torch.zeros(self.rows + self.columns)
        state[self.row] = state[self.rows + self.column] = 1.0
        return state

    def step(self, action):
        down, right = self.moves[action]
        self.row = min(max(self.row + down - self.wind[self.column], 0), self.rows - 1)
        self.column = min(max(self.column + right, 0), self.columns - 1)
        self.steps += 1
        goal = (self.row, self.column) == (1, self.columns - 1)
        return self.observation(), 1.0 if goal else -0.1, goal or self.steps >= 20


class Policy(nn.Module):
    def __init__(self, observations, actions):
        super().__init__()
        self.affine1 = nn.Linear(observations, 32)
        self.affine2 = nn.Linear(32, actions)
        self.saved_log_probs, self.entropies, self.rewards = [], [], []

    def forward(self, x):
        return self.affine2(torch.tanh(self.affine1(x)))


parser = argparse.ArgumentParser()
parser.add_argument("--episodes", type=int, default=250)
parser.add_argument("--gamma", type=float, default=0.97)
parser.add_argument("--seed", type=int, default=2)
args = parser.parse_args()
torch.manual_seed(args.seed)

env = WindyCorridor()
policy = Policy(env.rows + env.columns, len(env.moves))
optimizer = optim.Adam(policy.parameters(), lr=1e-2)
eps = torch.finfo(torch.float32).eps
returns, entropies = [], []


def select_action(state):
    m = Categorical(logits=policy(state.unsqueeze(0)))
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    policy.entropies.append(m.entropy())
    return action.item()


def finish_episode():
    discounted, R = [], 0.0
    for r in policy.rewards[::-1]:
        R = r + args.gamma * R
        discounted.insert(0, R)
    discounted = torch.tensor(discounted)
    discounted = (discounted - discounted.mean()) / (discounted.std() + eps)
    policy_loss = [-log_prob * R for log_prob, R in zip(policy.saved_log_probs, discounted)]
    optimizer.zero_grad()
    loss = torch.cat(policy_loss).sum() - 0.02 * torch.cat(policy.entropies).sum()
    loss.backward()
    optimizer.step()
    entropies.append(torch.cat(policy.entropies).mean().item())
    del policy.rewards[:], policy.saved_log_probs[:], policy.entropies[:]


for _episode in range(args.episodes):
    state, done, total = env.reset(), False, 0.0
    while not done:
        state, reward, done = env.step(select_action(state))
        policy.rewards.append(reward)
        total += reward
    returns.append(total)
    finish_episode()
print(f"returns of the first and the last twenty episodes: {sum(returns[:20]) / 20:.2f}, {sum(returns[-20:]) / 20:.2f}")
