"""Refits the text tower's last linear layer in closed form (ridge regression onto the goals).

Seconds instead of minutes: use it when the targets or the goals moved a little, or when a short
training left the right order but too small a cosine.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from open_clip.model import CLIPTextCfg, _build_text_tower
from open_clip.tokenizer import SimpleTokenizer

from training.text_tower import CONTEXT_LENGTH, forward_short
from training.train_text import Texts

logger = logging.getLogger(__name__)


def main() -> None:
    """Read a checkpoint, refit, write another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("training/cache"))
    parser.add_argument("--text", type=Path, default=Path("training/cache/text/last.pt"))
    parser.add_argument("--out", type=Path, default=Path("training/cache/text/refitted.pt"))
    parser.add_argument("--ridge", type=float, default=1.0)
    parser.add_argument("--name-weight", type=float, default=6.0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    targets = torch.from_numpy(np.load(arguments.cache / "targets.npz")["targets"])
    texts = Texts(arguments.cache, len(targets), targets, seed=0)
    stored = torch.load(arguments.text, weights_only=True)
    model = _build_text_tower(512, CLIPTextCfg(**stored["facts"]["config"]))
    model.load_state_dict(stored["model"])
    model.eval()
    projection = model.text_projection.data.clone()
    width = projection.shape[0]
    model.text_projection.data = torch.eye(width)
    tokenize = SimpleTokenizer(context_length=CONTEXT_LENGTH)
    general = list(range(0, len(texts.general), 8))
    words = [text for _, text, _, _ in texts.named] + [texts.general[i] for i in general]
    goals = torch.cat([texts.named_goals, texts.general_goals[general]])
    weight = torch.tensor(
        [arguments.name_weight if name else 1.0 for *_, name in texts.named] + [1.0] * len(general)
    )
    order = sorted(range(len(words)), key=lambda i: len(words[i]))
    features = torch.zeros(len(words), width)
    with torch.inference_mode():
        for at in range(0, len(order), 512):
            chosen = order[at : at + 512]
            features[chosen] = forward_short(model, tokenize([words[i] for i in chosen]))
    # Equal lengths first: the tower's vectors are normalised after this layer anyway.
    scaled = F.normalize(features, dim=1) * weight.sqrt()[:, None]
    gram = scaled.T @ scaled + arguments.ridge * torch.eye(width)
    fitted = torch.linalg.solve(gram, scaled.T @ (goals * weight.sqrt()[:, None]))
    names = [i for i, (*_, is_name) in enumerate(texts.named) if is_name]
    for label, matrix in (("before", projection), ("after", fitted)):
        vectors = F.normalize(features[names] @ matrix, dim=1)
        best = (vectors @ targets.T).argmax(1).tolist()
        right = np.mean([b in texts.named[i][2] for b, i in zip(best, names, strict=True)])
        cosine = (vectors * goals[names]).sum(1).mean()
        logger.info("%s: cosine to goal %.3f, names to their concept %.3f", label, cosine, right)
    stored["model"]["text_projection"] = fitted.contiguous()
    torch.save(stored, arguments.out)


if __name__ == "__main__":
    main()
