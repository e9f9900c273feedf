"""`python -m workers` with the quick encoder in place of a network; run by the drills."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

from mirada.config import Settings
from mirada.kernel.embeddings import Matrix
from mirada.kernel.images import RgbImage
from mirada.runtime import Runtime
from testing.worksite import MeanColours
from workers import __main__, logs


class Mortal(MeanColours):
    """Dies, with its process, of very wide pictures."""

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        if any(image.shape[1] > 5 * image.shape[0] for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_images(images)


if __name__ == "__main__":
    settings = Settings.from_env()
    logs.configure(settings)
    runtime = Runtime(settings)
    encoder = Mortal()
    encoder.before = lambda: time.sleep(float(os.environ.get("ENCODING_TAKES_S", "0")))
    runtime.remember("encoder", encoder)
    sys.exit(__main__.serve(runtime))
