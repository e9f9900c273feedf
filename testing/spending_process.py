"""A process that asks a language model as often as it is told, from several threads; run by the drills.

Arguments: threads, questions of each. Begins at a line of input; writes how the questions ended.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter

from mirada.config import Settings
from mirada.kernel.errors import MiradaError
from mirada.kernel.model_requests import Question
from mirada.language_model.paying import paid_call
from mirada.language_model.spending import CAPTION, Order
from mirada.runtime import Runtime

SCHEMA = {
    "title": "caption",
    "type": "object",
    "properties": {"caption": {"type": "string"}},
    "required": ["caption"],
    "additionalProperties": False,
}

if __name__ == "__main__":
    runtime = Runtime(Settings.from_env())
    ends: Counter[str] = Counter()
    lock = threading.Lock()

    def ask(times: int) -> None:
        question = Question("gpt-4o-mini", "Describe.", "{}", SCHEMA, 90)
        for _ in range(times):
            try:
                with paid_call(runtime, Order(CAPTION), question):
                    end = "answered"
            except MiradaError as error:
                end = error.code
            with lock:
                ends[end] += 1

    threads = [
        threading.Thread(target=ask, args=(int(sys.argv[2]),)) for _ in range(int(sys.argv[1]))
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump(ends, sys.stdout)
    runtime.close()
