"""Trains the text tower to put names, keywords and phrases where `targets.py` says they belong."""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import time
import unicodedata
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from open_clip.model import CLIPTextCfg, _build_text_tower
from torch import Tensor, nn

from training.text_tower import CONTEXT_LENGTH, Tokens, forward_end, forward_short

logger = logging.getLogger(__name__)

SCALE = 20.0
TEMPLATES = {
    "en": (
        "{}",
        "a {}",
        "a sticker of a {}",
        "an emoji of {}",
        "a picture of a {}",
        "a photo of a {}",
        "a drawing of {}",
        "someone {}",
        "the {} emoji",
        "{} sticker",
        "cute {}",
        "i want a {}",
    ),
    "pt": (
        "{}",
        "um {}",
        "uma {}",
        "um adesivo de {}",
        "figurinha de {}",
        "um emoji de {}",
        "uma foto de {}",
        "imagem de {}",
        "desenho de {}",
        "alguém {}",
        "{} fofo",
        "quero um {}",
    ),
    "es": (
        "{}",
        "un {}",
        "una {}",
        "una pegatina de {}",
        "un sticker de {}",
        "un emoji de {}",
        "una foto de {}",
        "imagen de {}",
        "dibujo de {}",
        "alguien {}",
        "{} bonito",
        "quiero un {}",
    ),
}
JOINERS = {
    "en": (" ", ", ", " and ", " with "),
    "pt": (" ", ", ", " e ", " com "),
    "es": (" ", ", ", " y ", " con "),
}


def text_config(width: int, layers: int) -> dict[str, int]:
    """Return the `text_cfg` of the OpenCLIP configuration."""
    return {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": 49408,
        "width": width,
        "heads": width // 64,
        "layers": layers,
    }


def without_accents(text: str) -> str:
    """Return the text as people type it in a hurry: "avião" -> "aviao"."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


class Texts:
    """Draws training texts with the vectors they should have."""

    def __init__(
        self, cache: Path, concepts: int, targets: Tensor, seed: int, name_weight: float = 4.0
    ) -> None:
        """Read what `text_corpus.py` wrote."""
        stored = json.loads((cache / "texts.json").read_text(encoding="utf-8"))
        vectors = np.load(cache / "text.npz")
        self.named = stored["named"]
        self.general = stored["general"]
        self.named_goals = torch.from_numpy(vectors["concept_goals"])
        self.general_goals = torch.from_numpy(vectors["general_goals"])
        self.targets = targets
        # A name means its concept exactly; the corpus mixed MiniLM's view of the bare word in.
        for index, (_, _, rows, is_name) in enumerate(self.named):
            if is_name:
                self.named_goals[index] = F.normalize(targets[rows].mean(0), dim=0)
        self.random = random.Random(seed)
        self.by_concept: list[dict[str, list[str]]] = [
            {"en": [], "pt": [], "es": []} for _ in range(concepts)
        ]
        for language, text, rows, _ in self.named:
            for row in rows:
                self.by_concept[row][language].append(text)
        self.weights = [name_weight if is_name else 1.0 for *_, is_name in self.named]

    def concept_batch(self, n: int) -> tuple[list[str], Tensor]:
        """Return n texts about concepts and their (n, 512) goals."""
        texts, goals = [], []
        chosen = self.random.choices(range(len(self.named)), self.weights, k=n)
        for index in chosen:
            language, text, rows, is_name = self.named[index]
            goal = self.named_goals[index]
            if self.random.random() < 0.25:
                row = self.random.choice(rows)
                other = self.random.choice(self.by_concept[row][language])
                text = text + self.random.choice(JOINERS[language]) + other
                goal = self.targets[row]
            if self.random.random() < (0.45 if is_name else 0.25):
                text = self.random.choice(TEMPLATES[language]).format(text)
            if language != "en" and self.random.random() < 0.2:
                text = without_accents(text)
            texts.append(text)
            goals.append(goal)
        return texts, torch.stack(goals)

    def general_batch(self, n: int) -> tuple[list[str], Tensor]:
        """Return n English words or definitions of like length and their (n, 512) goals."""
        pool = self.random.sample(range(len(self.general)), n * 4)
        pool.sort(key=lambda i: len(self.general[i]))
        start = self.random.choice((0, n, 2 * n, 3 * n))
        chosen = pool[start : start + n]
        return [self.general[i] for i in chosen], self.general_goals[chosen]


def fit_loss(vectors: Tensor, goals: Tensor) -> Tensor:
    """Return how far vectors are from their goals, alone and against the batch's other goals."""
    near = 1 - (vectors * goals).sum(1).mean()
    truth = F.softmax(goals @ goals.T * SCALE * 2, dim=1)
    return near + 0.5 * F.cross_entropy(vectors @ goals.T * SCALE, truth)


def train(arguments: argparse.Namespace) -> None:
    """Run the steps; `last.pt` is rewritten every 50 and is always usable."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    targets = torch.from_numpy(np.load(arguments.cache / "targets.npz")["targets"])
    texts = Texts(arguments.cache, len(targets), targets, arguments.seed, arguments.name_weight)
    tokenize = Tokens()
    config = text_config(arguments.width, arguments.layers)
    model: nn.Module = _build_text_tower(512, CLIPTextCfg(**config))
    start = np.load(arguments.cache / "text.npz")["embedding"]
    model.token_embedding.weight.data.copy_(torch.from_numpy(start[:, : arguments.width]))
    if arguments.resume:
        model.load_state_dict(torch.load(arguments.resume, weights_only=True)["model"])
    body = [p for name, p in model.named_parameters() if name != "token_embedding.weight"]
    optimiser = torch.optim.AdamW(
        [
            {"params": body, "weight_decay": 0.01},
            {"params": [model.token_embedding.weight], "weight_decay": 0.0},
        ],
        lr=arguments.lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, arguments.lr, total_steps=arguments.steps, pct_start=0.05, final_div_factor=50
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    names = [i for i, (*_, is_name) in enumerate(texts.named) if is_name]
    started, total = time.monotonic(), 0.0
    for step in range(1, arguments.steps + 1):
        model.train()
        loss = torch.zeros(())
        for words, goals in (
            texts.concept_batch(arguments.batch),
            texts.general_batch(round(arguments.batch * arguments.general_share)),
        ):
            # Short texts apart from long ones: less of a batch is padding.
            order = sorted(range(len(words)), key=lambda i: len(words[i]))
            parts = torch.tensor(order).split(arguments.batch // 4)
            with torch.autocast("cpu", torch.bfloat16):
                raw = [forward_end(model, tokenize([words[i] for i in part])) for part in parts]
            vectors = F.normalize(torch.cat(raw).float(), dim=1)
            goals = goals[torch.cat(parts)]
            truth = F.softmax(goals @ targets.T * SCALE * 2, dim=1)
            among = F.cross_entropy(vectors @ targets.T * SCALE, truth)
            loss = loss + fit_loss(vectors, goals) + 0.3 * among
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total += loss.item()
        if step % 50 and step != arguments.steps:
            continue
        model.eval()
        with torch.inference_mode():
            sample = names[::4]
            words = [texts.named[i][1] for i in sample]
            vectors = F.normalize(forward_short(model, tokenize(words)), dim=1)
            near = (vectors * texts.named_goals[sample]).sum(1).mean()
            best = (vectors @ targets.T).argmax(1).tolist()
            right = [b in texts.named[i][2] for b, i in zip(best, sample, strict=True)]
        logger.info(
            "step %d/%d loss %.3f names: cosine %.3f, to their concept %.3f (%.0f s)",
            step,
            arguments.steps,
            total / 50,
            near,
            sum(right) / len(right),
            time.monotonic() - started,
        )
        total = 0.0
        draft = arguments.out / "last.tmp"
        facts = {
            "config": config,
            "steps_done": step,
            "steps": arguments.steps,
            "seed": arguments.seed,
            "logit_scale": math.log(SCALE),
        }
        torch.save({"model": model.state_dict(), "facts": facts}, draft)
        draft.replace(arguments.out / "last.pt")
        if step == arguments.stop_after:
            break


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("training/cache"))
    parser.add_argument("--out", type=Path, default=Path("training/cache/text"))
    parser.add_argument("--resume", type=Path, help="start from the weights of a checkpoint")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--stop-after", type=int, help="steps, a multiple of 50")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--name-weight", type=float, default=4.0, help="of a name; a keyword has 1")
    parser.add_argument("--general-share", type=float, default=0.25, help="English, per text")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20_251)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
