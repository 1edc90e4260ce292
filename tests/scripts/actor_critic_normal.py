"""Actor-critic with a continuous action: a squashed Normal policy with a clipped objective (PPO), generalised advantages, and a KL divergence watched."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Independent, Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import TanhTransform


class Docking:
    """Many boats at once on a line: each is pushed by its action in [-1, 1], and it costs the squares of its distance to the dock and of its speed."""

    def __init__(self, boats):
        self.boats = boats

    def reset(self):
        self.place = torch.rand(self.boats) * 2 - 1
        self.speed = torch.zeros(self.boats)
        return torch.stack([self.place, self.speed], dim=-1)

    def step(self, action):
        self.speed = 0.8 * self.speed + 0.3 * action
        self.place = self.place + self.speed
        return torch.stack([self.place, self.speed], dim=-1), -(self.place**2 + 0.1 * self.speed**2)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.Tanh())
        self.loc = nn.Linear(32, 1)
        self.log_scale = nn.Parameter(torch.full((1,), -0.5))
        self.value = nn.Linear(32, 1)

    def forward(self, state):
        h = self.body(state)
        base = Independent(Normal(self.loc(h), self.log_scale.exp()), 1)
        return base, self.value(h).squeeze(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--updates", type=int, default=25)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
torch.manual_seed(args.seed)
STEPS, GAMMA, LAMBDA, CLIP = 16, 0.95, 0.9, 0.2

env = Docking(16)
model = ActorCritic()
optimizer = optim.Adam(model.parameters(), lr=1e-2)
losses, returns, divergences = [], [], []

for _update in range(args.updates):
    state = env.reset()
    states, actions, log_probs, rewards, values = [], [], [], [], []
    with torch.no_grad():
        for _step in range(STEPS):
            base, value = model(state)
            policy = TransformedDistribution(base, [TanhTransform(cache_size=1)])
            action = policy.sample()
            states.append(state)
            actions.append(action)
            log_probs.append(policy.log_prob(action))
            values.append(value)
            state, reward = env.step(action.squeeze(-1))
            rewards.append(reward)
        values.append(model(state)[1])
        advantages, advantage = [], torch.zeros(env.boats)
        for t in reversed(range(STEPS)):
            delta = rewards[t] + GAMMA * values[t + 1] - values[t]
            advantage = delta + GAMMA * LAMBDA * advantage
            advantages.insert(0, advantage)
        advantages = torch.stack(advantages).flatten()
        old_log_probs, old_values = torch.stack(log_probs).flatten(), torch.stack(values[:-1]).flatten()
        targets = advantages + old_values
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        states, actions = torch.cat(states), torch.cat(actions)
        old_base, _ = model(states)
    for _epoch in range(4):
        base, value = model(states)
        policy = TransformedDistribution(base, [TanhTransform(cache_size=1)])
        ratio = (policy.log_prob(actions.clamp(-0.999999, 0.999999)) - old_log_probs).exp()
        surrogate = torch.min(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages).mean()
        value_loss = F.mse_loss(value, targets)
        loss = -surrogate + 0.5 * value_loss - 0.001 * base.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    with torch.no_grad():
        divergences.append(kl_divergence(old_base, model(states)[0]).mean().item())
    losses.append(value_loss.item())
    returns.append(torch.stack(rewards).sum(0).mean().item())
print(f"returns of the first and the last five updates: {sum(returns[:5]) / 5:.2f}, {sum(returns[-5:]) / 5:.2f}")
