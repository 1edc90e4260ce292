"""Training in two phases per epoch with the best weights kept, and a recurrent network by hand."""

import copy
import time

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

rng = np.random.RandomState(11)
LETTERS = "abcdef"


def word_to_tensor(word):
    tensor = torch.zeros(len(word), 1, len(LETTERS))
    for i, letter in enumerate(word):
        tensor[i][0][LETTERS.find(letter)] = 1
    return tensor


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input, hidden):
        combined = torch.cat((input, hidden), 1)
        hidden = torch.tanh(self.i2h(combined))
        output = self.softmax(self.i2o(combined))
        return output, hidden

    def init_hidden(self):
        return torch.zeros(1, self.hidden_size)


def deterministic(model):
    for p in model.parameters():
        p.data.copy_(torch.from_numpy(rng.uniform(-0.4, 0.4, tuple(p.shape)).astype(np.float32)))


words = ["".join(rng.choice(list("abc" if i % 2 else "def"), 4)) for i in range(12)]
rnn = RNN(len(LETTERS), 8, 2)
deterministic(rnn)
criterion = nn.NLLLoss()
rnn_losses = []
for _epoch in range(5):
    for i, word in enumerate(words):
        hidden = rnn.init_hidden()
        rnn.zero_grad()
        line = word_to_tensor(word)
        for j in range(line.size(0)):
            output, hidden = rnn(line[j], hidden)
        loss = criterion(output, torch.tensor([i % 2], dtype=torch.long))
        loss.backward()
        for p in rnn.parameters():
            p.data.add_(p.grad.data, alpha=-0.2)
        rnn_losses.append(loss.item())
top_value, top_index = output.topk(1)
category = top_index[0].item()

x = torch.from_numpy(rng.randn(120, 5).astype(np.float32))
target = (x[:, :2].sum(dim=1) > 0).long()
dataloaders = {
    "train": DataLoader(TensorDataset(x[:90], target[:90]), batch_size=30),
    "val": DataLoader(TensorDataset(x[90:], target[90:]), batch_size=30),
}
dataset_sizes = {"train": 90, "val": 30}
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

model = nn.Sequential(nn.Linear(5, 16), nn.Hardswish(), nn.Linear(16, 2))
deterministic(model)
model = model.to(device)
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
since = time.time()
best_model_wts = copy.deepcopy(model.state_dict())
best_acc = 0.0
losses = []
for epoch in range(8):
    for phase in ["train", "val"]:
        if phase == "train":
            model.train()
        else:
            model.eval()
        running_loss = 0.0
        running_corrects = 0
        for inputs, labels in dataloaders[phase]:
            inputs = inputs.to(device)
            labels = labels.to(device)
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(inputs)
                _, preds = torch.max(outputs, 1)
                loss = criterion(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
            running_loss += loss.item() * inputs.size(0)
            running_corrects += torch.sum(preds == labels.data)
        if phase == "train":
            scheduler.step()
            losses.append(running_loss / dataset_sizes[phase])
        epoch_acc = running_corrects.double() / dataset_sizes[phase]
        print(f"{epoch} {phase} Loss: {running_loss / dataset_sizes[phase]:.4f} Acc: {epoch_acc:.4f}")
        if phase == "val" and epoch_acc > best_acc:
            best_acc = epoch_acc
            best_model_wts = copy.deepcopy(model.state_dict())
time_elapsed = time.time() - since
print(f"Training complete in {time_elapsed // 60:.0f}m {time_elapsed % 60:.0f}s, best val Acc: {best_acc:4f}")
model.load_state_dict(best_model_wts)
accuracy = 100 * best_acc.item()
final = [rnn_losses, top_value.item(), category, accuracy]
