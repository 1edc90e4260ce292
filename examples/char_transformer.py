"""A character-level Transformer that learns to write, from a text which a small grammar makes.

    python examples/char_transformer.py --steps 600 --sample 400

Any text file can be given instead: --text FILE.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numbagrad as ng
from numbagrad import Tensor, nn, optim
from numbagrad.nn import functional as F

NOUNS = "river mountain garden window letter lantern harbour winter morning song shadow orchard".split()
ADJECTIVES = "quiet golden distant empty patient silver broken gentle hidden early".split()
VERBS = "waits turns sings falls rises listens wanders remembers".split()
PLACES = "by the water,under the stars,beyond the hill,in the rain,at the gate,before the dawn".split(",")


def verses(lines: int, seed: int = 0) -> str:
    """A text of simple sentences: enough to learn spelling, grammar and line ends from."""
    draw = random.Random(seed)

    def sentence() -> str:
        noun = f"the {draw.choice(ADJECTIVES)} {draw.choice(NOUNS)}"
        clause = f"{noun} {draw.choice(VERBS)} {draw.choice(PLACES)}"
        if draw.random() < 0.3:
            clause += f" and {draw.choice(VERBS)}"
        return clause.capitalize() + draw.choice([".", ".", "!", "?"])

    return "\n".join(sentence() for _ in range(lines)) + "\n"


class Writer(nn.Module):
    """Embeddings of characters and places, causal Transformer layers, and a score for each next character."""

    def __init__(self, vocabulary: int, context: int = 64, width: int = 64, heads: int = 4, layers: int = 2):
        super().__init__()
        self.context = context
        self.characters = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        length = ids.shape[1]
        x = self.characters(ids) + self.places(ng.arange(length, device=ids.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=ids.device)
        return self.head(self.layers(x, mask, is_causal=True))

    @ng.no_grad()
    def write(self, ids: Tensor, length: int, temperature: float = 0.8) -> Tensor:
        """``ids`` (1, n) continued by ``length`` characters, each drawn from the scores."""
        self.eval()
        for _ in range(length):
            scores = self(ids[:, -self.context :])[:, -1] / temperature
            ids = ng.cat([ids, ng.multinomial(F.softmax(scores, -1), 1)], 1)
        return ids


def batch(data: Tensor, size: int, context: int) -> tuple[Tensor, Tensor]:
    """Random stretches of the text, and the same moved on by one character."""
    starts = ng.randint(len(data) - context, (size, 1))
    at = starts + ng.arange(context)
    return data[at], data[at + 1]


def main(steps: int = 400, size: int = 32, sample: int = 200, text: str | None = None) -> tuple[float, float, str]:
    """Train; returns the loss at the start, at the end (nats per character) and what the model writes."""
    ng.manual_seed(0)
    text = text or verses(2000)
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    data = ng.tensor([number[character] for character in text])
    model = Writer(len(alphabet))
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps + 1)
    losses = []
    for step in range(steps):
        model.train()
        inputs, targets = batch(data, size, model.context)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:4d}: loss {losses[-1]:.3f}")
    start = ng.tensor([[number["\n"]]])
    written = "".join(alphabet[i] for i in model.write(start, sample)[0].tolist()).strip()
    print(written)
    return losses[0], losses[-1], written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="batches to train on")
    parser.add_argument("--batch-size", type=int, default=32, help="stretches of text per batch")
    parser.add_argument("--sample", type=int, default=200, help="characters to write at the end")
    parser.add_argument("--text", type=Path, help="a text file to learn from (default: one that is made)")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    options = parser.parse_args()
    with ng.device(options.device):  # what is made without device= is made there
        main(options.steps, options.batch_size, options.sample, options.text and options.text.read_text())
