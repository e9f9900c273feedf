"""What Python clients of the five systems do with the library requests; only BASE_URL is another."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import requests

BASE = os.environ["BASE_URL"]
picture, other = Path(sys.argv[1]), Path(sys.argv[2])


def told(name: str, response: requests.Response) -> Any:
    response.raise_for_status()
    sys.stdout.write(f"{name}\t{json.dumps(response.json())}\n")
    return response.json()


with picture.open("rb") as file:
    post = told(
        "captioned-posts/upload",
        requests.post(f"{BASE}/api/v1/images", files={"file": file}, data={"caption": "a red fox"}),
    )
with other.open("rb") as file:
    told(
        "captioned-posts/upload-other",
        requests.post(f"{BASE}/api/v1/images", files={"file": ("soup.png", file, "image/png")}),
    )
for _ in range(1200):
    waiting = requests.get(f"{BASE}/api/v1/images", params={"limit": 2}).json()["results"]
    if all(image["status"] == "READY" for image in waiting):
        break
    time.sleep(0.1)
told(
    "captioned-posts/search",
    requests.post(f"{BASE}/api/v1/images/search", params={"query": "fox", "limit": 2}),
)
told(
    "captioned-posts/similar",
    requests.post(f"{BASE}/api/v1/images/{post['id']}/similar", params={"limit": 5}),
)

told(
    "creative-memory/related",
    requests.get(f"{BASE}/api/images/{post['id']}/related/", params={"limit": 50}),
)
told(
    "creative-memory/styles",
    requests.get(f"{BASE}/api/users/me/style-suggestions/", params={"limit": 20}),
)

told("image-search/health", requests.get(f"{BASE}/health"))
with picture.open("rb") as file:
    found = told(
        "image-search/search",
        requests.post(f"{BASE}/search-similar-images/", files={"file": file}),
    )
for result in found["results"]:
    requests.get(BASE + result["path"]).raise_for_status()

with picture.open("rb") as file:
    answer = told(
        "classifier/classify",
        requests.post(
            f"{BASE}/classify",
            files={"file": (picture.name, file, "image/png")},
            data={
                "labels": json.dumps(["cat", "dog", "fox"]),
                "asset_id": "sticker-1",
                "asset_sha256": hashlib.sha256(picture.read_bytes()).hexdigest(),
                "theme": "animals",
                "nsfw_threshold": 0.7,
                "similar_threshold": 0.5,
                "similar_limit": 5000,
            },
        ),
    )
told(
    "classifier/feedback",
    requests.post(
        f"{BASE}/feedback",
        json={"image_hash": answer["image_hash"], "theme": "animals", "accepted": True},
    ),
)
told("classifier/labels", requests.get(f"{BASE}/labels"))

told("embedding-service/about", requests.get(f"{BASE}/"))
told("embedding-service/health", requests.get(f"{BASE}/health"))
with picture.open("rb") as file:
    told("embedding-service/embed", requests.post(f"{BASE}/embed-image", files={"file": file}))
