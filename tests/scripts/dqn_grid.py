"""Deep Q-learning in a small grid: replay memory, a target network that follows slowly, epsilon-greedy exploration."""

import argparse
import math
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class GridWorld:
    """Three by three fields; from the top left corner to the bottom right one, round a hole in the middle.  A step costs 0.05."""

    n_actions, n_observations = 4, 9
    moves = ((-1, 0), (1, 0), (0, -1), (0, 1))

    def reset(self):
        self.row, self.column, self.steps = 0, 0, 0
        return self.observation()

    def observation(self):
        return [1.0 if i == 3 * self.row + self.column else 0.0 for i in range(9)]

    def step(self, action):
        down, right = self.moves[action]
        self.row, self.column = min(max(self.row + down, 0), 2), min(max(self.column + right, 0), 2)
        self.steps += 1
        goal, hole = (self.row, self.column) == (2, 2), (self.row, self.column) == (1, 1)
        reward = 1.0 if goal else -1.0 if hole else -0.05
        return self.observation(), reward, goal or hole, self.steps >= 12


class ReplayMemory:
    def __init__(self, capacity):
        self.memory = deque(maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, batch_size):
        return random.sample(self.memory, batch_size)

    def __len__(self):
        return len(self.memory)


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 32)
        self.layer2 = nn.Linear(32, n_actions)

    def forward(self, x):
        return self.layer2(F.relu(self.layer1(x)))


parser = argparse.ArgumentParser()
parser.add_argument("--episodes", type=int, default=80)
parser.add_argument("--save", type=str, default="")
parser.add_argument("--resume", type=str, default="")
args = parser.parse_args()
BATCH_SIZE, GAMMA, EPS_START, EPS_END, EPS_DECAY, TAU, LR = 32, 0.95, 0.9, 0.02, 250, 0.05, 5e-3
random.seed(3)
torch.manual_seed(3)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

env = GridWorld()
policy_net = DQN(env.n_observations, env.n_actions).to(device)
if args.resume:
    policy_net.load_state_dict(torch.load(args.resume, map_location=device))
target_net = DQN(env.n_observations, env.n_actions).to(device)
target_net.load_state_dict(policy_net.state_dict())
optimizer = optim.AdamW(policy_net.parameters(), lr=LR, amsgrad=True)
memory = ReplayMemory(2000)
steps_done = 0
losses, returns = [], []


def select_action(state):
    global steps_done
    eps_threshold = EPS_END + (EPS_START - EPS_END) * math.exp(-1.0 * steps_done / EPS_DECAY)
    steps_done += 1
    if random.random() > eps_threshold:
        with torch.no_grad():
            return policy_net(state).max(1).indices.view(1, 1)
    return torch.tensor([[random.randrange(env.n_actions)]], device=device, dtype=torch.long)


def optimize_model():
    if len(memory) < BATCH_SIZE:
        return
    batch = Transition(*zip(*memory.sample(BATCH_SIZE)))
    non_final_mask = torch.tensor([s is not None for s in batch.next_state], device=device, dtype=torch.bool)
    non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
    state_action_values = policy_net(torch.cat(batch.state)).gather(1, torch.cat(batch.action))
    next_state_values = torch.zeros(BATCH_SIZE, device=device)
    with torch.no_grad():
        next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
    expected = next_state_values * GAMMA + torch.cat(batch.reward)
    loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
    optimizer.step()
    losses.append(loss.item())


for _episode in range(args.episodes):
    state = torch.tensor(env.reset(), dtype=torch.float32, device=device).unsqueeze(0)
    total, done = 0.0, False
    while not done:
        action = select_action(state)
        observation, reward, terminated, truncated = env.step(action.item())
        total += reward
        done = terminated or truncated
        next_state = None if terminated else torch.tensor(observation, dtype=torch.float32, device=device).unsqueeze(0)
        memory.push(state, action, next_state, torch.tensor([reward], device=device))
        state = next_state
        optimize_model()
        target_net_state_dict = target_net.state_dict()
        policy_net_state_dict = policy_net.state_dict()
        for key in policy_net_state_dict:
            target_net_state_dict[key] = policy_net_state_dict[key] * TAU + target_net_state_dict[key] * (1 - TAU)
        target_net.load_state_dict(target_net_state_dict)
    returns.append(total)
print(f"returns of the first and the last ten episodes: {sum(returns[:10]) / 10:.2f}, {sum(returns[-10:]) / 10:.2f}")
if args.save:
    torch.save(policy_net.state_dict(), args.save)
