#!/usr/bin/env bash
# What owners of the five systems type, with BASE_URL in the place of their servers' addresses.
# It prints one line of JSON for each call, under the name of the system and the call.
set -euo pipefail
picture=$1 other=$2
told() { printf '%s\t' "$1"; shift; curl -sS --fail-with-body "$@"; printf '\n'; }

told captioned-posts/upload -X POST "$BASE_URL/api/v1/images" -F "file=@$picture" -F "caption=a red fox" -F "user_id=7" | tee posted
id=$(sed -E 's/.*"id": ?([0-9]+).*/\1/' posted)
told captioned-posts/upload-other -X POST "$BASE_URL/api/v1/images/" -F "file=@$other" -F "caption=a bowl of soup"
for _ in $(seq 1200); do
    curl -sS "$BASE_URL/api/v1/images?limit=2" | grep -q '"PENDING"\|"PROCESSING"' || break
    sleep 0.1
done
told captioned-posts/search -X POST "$BASE_URL/api/v1/images/search?query=fox&limit=2"
told captioned-posts/similar -X POST "$BASE_URL/api/v1/images/$id/similar?limit=5"

told creative-memory/related "$BASE_URL/api/images/$id/related/?limit=50"
told creative-memory/styles "$BASE_URL/api/users/me/style-suggestions/?limit=20&format=json"

told image-search/health "$BASE_URL/health"
told image-search/search -X POST "$BASE_URL/search-similar-images/" -F "file=@$picture"

told classifier/classify -X POST "$BASE_URL/classify" -F "file=@$picture" -F 'labels=["cat","dog","fox"]' \
    -F asset_id=sticker-1 -F theme=animals -F similar_limit=5000
hash=$(sha256sum "$picture" | cut -d' ' -f1)
told classifier/feedback -X POST "$BASE_URL/feedback" -H 'Content-Type: application/json' \
    -d "{\"image_hash\":\"$hash\",\"theme\":\"animals\",\"accepted\":true,\"source\":\"app\"}"
told classifier/labels "$BASE_URL/labels"

told embedding-service/about "$BASE_URL/"
told embedding-service/health "$BASE_URL/health"
told embedding-service/embed -X POST "$BASE_URL/embed-image" -F "file=@$picture;type=image/png"
