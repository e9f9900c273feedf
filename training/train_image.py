"""Trains the image tower: softmax over all concepts against fixed targets, plus an instance term."""

from __future__ import annotations

import argparse
import logging
import math
import queue
import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from training.artwork import STYLES, Artwork
from training.augment import scene_views, scenes, sticker_views
from training.concepts import load_concepts
from training.image_tower import TRUNK, build, check, freeze, normalise, start_from_imagenet

logger = logging.getLogger(__name__)

INSTANCE_TEMPERATURE = 0.1
SCENES_AT_ONCE = 40


def instance_loss(first: Tensor, second: Tensor) -> Tensor:
    """Return NT-Xent over (n, d) unit rows that are two views of n pictures (Chen et al. 2020)."""
    both = torch.cat([first, second])
    scores = both @ both.T / INSTANCE_TEMPERATURE
    scores.fill_diagonal_(-math.inf)
    n = len(first)
    truth = torch.cat([torch.arange(n) + n, torch.arange(n)])
    return F.cross_entropy(scores, truth)


def augmented_batches(
    arguments: argparse.Namespace,
    rows: np.ndarray,
    pixels: Tensor,
    labels: Tensor,
    may_flip: Tensor,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch: (stickers, second views, scenes, scenes again) and the stickers' concepts."""
    side_px = arguments.side_px
    drawings = pixels[torch.from_numpy(np.random.permutation(rows)[:2000])]
    bank = torch.cat(
        [
            (scenes(SCENES_AT_ONCE, side_px, drawings) * 255).to(torch.uint8)
            for _ in range(arguments.scenes // SCENES_AT_ONCE)
        ]
    )
    for chosen in torch.from_numpy(np.random.permutation(rows)).split(arguments.batch):
        if len(chosen) < arguments.batch:
            continue
        twice = chosen[: arguments.pairs]
        landscape = bank[torch.randint(len(bank), (arguments.pairs,))].float() / 255
        unflipped = torch.zeros(len(twice), dtype=torch.bool)
        batch = torch.cat(
            [
                sticker_views(pixels[chosen], side_px, may_flip[chosen]),
                sticker_views(pixels[twice], side_px, unflipped),
                scene_views(landscape, side_px),
                scene_views(landscape, side_px),
            ]
        )
        yield normalise(batch), torch.cat([labels[chosen], labels[twice]])


def ahead(batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches while a thread prepares the next two.

    Only that thread draws random numbers, so a seed still means one course of training.
    """
    ready: queue.Queue[tuple[Tensor, Tensor] | None] = queue.Queue(maxsize=2)

    def fill() -> None:
        for batch in batches:
            ready.put(batch)
        ready.put(None)

    threading.Thread(target=fill, daemon=True).start()
    while (batch := ready.get()) is not None:
        yield batch


def train(arguments: argparse.Namespace) -> None:
    """Run the epochs; `last.pt` is rewritten after each one and is always usable."""
    torch.manual_seed(arguments.seed)
    np.random.seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    art = Artwork.load(arguments.cache / "artwork.npz")
    targets = torch.from_numpy(np.load(arguments.cache / "targets.npz")["targets"])
    groups = torch.tensor([concept.group for concept in load_concepts(arguments.packages)])
    may_flip = (groups != 8)[torch.from_numpy(art.concepts)]  # arrows and letters have a side
    held = [STYLES.index(style) for style in arguments.hold_out]
    rows = np.flatnonzero(~np.isin(art.styles, held))
    exam = np.flatnonzero(np.isin(art.styles, held))
    pixels = torch.from_numpy(art.pixels)
    labels = torch.from_numpy(art.concepts)

    model = build(arguments.trunk, arguments.side_px).to(memory_format=torch.channels_last)
    scale = nn.Parameter(torch.tensor(math.log(16.0)))
    if arguments.imagenet:
        start_from_imagenet(model.trunk)
    if arguments.resume:
        stored = torch.load(arguments.resume, weights_only=True)
        model.load_state_dict(stored["model"])
        scale.data.fill_(stored["logit_scale"])
    frozen = freeze(model, arguments.freeze)
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    plain = [p for p in trained if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": 0.05},
            {"params": plain, "weight_decay": 0.0},
            {"params": [scale], "weight_decay": 0.0},
        ],
        lr=arguments.lr,
        fused=True,
    )
    average = deepcopy(model).requires_grad_(False)
    forward = torch.compile(model, dynamic=False) if arguments.compile else model
    steps_per_epoch = len(rows) // arguments.batch
    steps = steps_per_epoch * arguments.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        arguments.lr,
        total_steps=steps,
        pct_start=arguments.warm_share,
        final_div_factor=50,
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    step = 0
    for epoch in range(arguments.epochs):
        model.train()
        for part in frozen:
            part.eval()
        started = time.monotonic()
        seen = np.zeros(2)
        batches = augmented_batches(arguments, rows, pixels, labels, may_flip)
        for batch, names in ahead(batches):
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
                raw = forward(batch)
            vectors = F.normalize(raw.float(), dim=1)
            n, p = arguments.batch, arguments.pairs
            named = vectors[: n + p] @ targets.T * scale.exp()
            meaning = F.cross_entropy(named, names, label_smoothing=0.05)
            first = torch.cat([vectors[:p], vectors[n + p : n + 2 * p]])
            second = torch.cat([vectors[n : n + p], vectors[n + 2 * p :]])
            same = instance_loss(first, second)
            near = 1 - (vectors[: n + p] * targets[names]).sum(1).mean()
            loss = meaning + arguments.instance_weight * same + arguments.near_weight * near
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 5.0)
            optimiser.step()
            schedule.step()
            scale.data.clamp_(max=math.log(30.0))
            step += 1
            decay = min(arguments.average, (1 + step) / (20 + step))
            with torch.no_grad():
                for kept, new in zip(
                    average.state_dict().values(), model.state_dict().values(), strict=True
                ):
                    if kept.dtype.is_floating_point:
                        kept.lerp_(new, 1 - decay)
                    else:
                        kept.copy_(new)
            seen += (meaning.item(), same.item())
            if step % 20 == 0:
                logger.info("step %d/%d %.3f", step, steps, meaning.item())
        seen /= steps_per_epoch
        report = check(average, art, exam if len(exam) else rows[::8], targets, arguments.side_px)
        logger.info(
            "epoch %d/%d meaning %.3f instance %.3f scale %.1f held out: %s (%.0f s)",
            epoch + 1,
            arguments.epochs,
            seen[0],
            seen[1],
            scale.exp().item(),
            report,
            time.monotonic() - started,
        )
        facts = {
            "trunk": arguments.trunk,
            "side_px": arguments.side_px,
            "hold_out": arguments.hold_out,
            "epochs_done": epoch + 1,
            "epochs": arguments.epochs,
            "seed": arguments.seed,
            "held_out_check": report,
        }
        draft = arguments.out / "last.tmp"
        torch.save(
            {"model": average.state_dict(), "logit_scale": scale.item(), "facts": facts}, draft
        )
        draft.replace(arguments.out / "last.pt")
        if epoch + 1 == arguments.stop_after:
            break


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/artwork/node_modules"))
    parser.add_argument("--cache", type=Path, default=Path("training/cache"))
    parser.add_argument("--out", type=Path, default=Path("training/cache/image"))
    parser.add_argument("--resume", type=Path, help="start from the weights of a checkpoint")
    parser.add_argument("--trunk", default=TRUNK)
    parser.add_argument(
        "--imagenet",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="weights to start from",
    )
    parser.add_argument("--freeze", type=int, default=2, help="first stages that are not trained")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="two fifths faster on a CPU; needs a C++ compiler",
    )
    parser.add_argument("--bfloat16", action="store_true", help="faster for wide trunks only")
    parser.add_argument("--side-px", type=int, default=80)
    parser.add_argument("--hold-out", nargs="*", default=["twemoji"], choices=STYLES)
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--stop-after", type=int, help="epochs, of a schedule made for more")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the kept weights")
    parser.add_argument("--warm-share", type=float, default=0.06, help="of the steps, warming up")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--scenes", type=int, default=400, help="drawn scenes, new each epoch")
    parser.add_argument("--instance-weight", type=float, default=0.6)
    parser.add_argument(
        "--near-weight", type=float, default=0.0, help="of the cosine to the target itself"
    )
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20_251)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
