"""A residual network with SGD and momentum, a one-cycle schedule, label smoothing, and a moving average of the weights."""

import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def conv3x3(in_planes, out_planes, stride=1):
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(in_planes, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != self.expansion * planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.conv1 = conv3x3(3, 8)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = BasicBlock(8, 8)
        self.layer2 = BasicBlock(8, 16, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.linear = nn.Linear(16, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        return self.linear(torch.flatten(self.avgpool(out), 1))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--save", default=None)
parser.add_argument("--resume", default=None)
args = parser.parse_args()
torch.manual_seed(2)
torch.backends.cudnn.benchmark = True
device = "cuda" if torch.cuda.is_available() else "cpu"

# Stripes in four directions, in colours that say nothing about them.
rng = np.random.RandomState(2)
targets = rng.randint(4, size=160)
row, column = np.mgrid[:12, :12]
directions = np.stack([row, column, row + column, row - column])[targets] * 1.6 + rng.uniform(0, 6, (160, 1, 1))
inputs = np.sin(directions)[:, None] * rng.uniform(0.3, 1, (160, 3, 1, 1)) + rng.normal(0, 0.2, (160, 3, 12, 12))
inputs, targets = torch.tensor(inputs, dtype=torch.float32), torch.as_tensor(targets)
x_train, y_train, x_test, y_test = inputs[:128], targets[:128], inputs[128:].to(device), targets[128:].to(device)

net = ResNet().to(device)
if args.resume:
    net.load_state_dict(torch.load(args.resume, map_location=device))
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
scheduler = OneCycleLR(optimizer, max_lr=0.2, epochs=args.epochs, steps_per_epoch=8, pct_start=0.3)
ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

losses, rates, momenta = [], [], []
for _epoch in range(args.epochs):
    net.train()
    for indices in np.split(rng.permutation(128), 8):
        images, labels = x_train[indices].to(device), y_train[indices].to(device)
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        ema.update_parameters(net)
        losses.append(loss.item())
        rates.append(scheduler.get_last_lr()[0])
        momenta.append(optimizer.param_groups[0]["momentum"])

accuracies = []
for model in (net, ema):
    model.eval()
    with torch.no_grad():
        _, predicted = model(x_test).max(1)
    accuracies.append(100.0 * predicted.eq(y_test).sum().item() / y_test.size(0))
print(f"accuracy {accuracies[0]:.1f}%, of the averaged weights {accuracies[1]:.1f}%")
if args.save:
    torch.save(net.state_dict(), args.save)
    torch.save(ema.module.state_dict(), args.save + ".ema")
