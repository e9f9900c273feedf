#!/usr/bin/env bash
# Fetches what the photo tower is fitted with into training/photographs (git-ignored): the packages
# that training/photographs.txt names, and WordNet 3.0, whose numbers are ImageNet's. Needs Debian 12.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p photographs/packages
cd photographs
(
    cd packages
    apt-get download gcompris-qt-data=3.1-2 lomiri-wallpapers-16.04=20.04.0-2 \
        lomiri-wallpapers-20.04=20.04.0-2 wordnet-base=1:3.0-37
)
for package in packages/*.deb; do
    name=$(basename "$package")
    dpkg-deb -x "$package" "${name%%_*}"
done
python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --dest packages \
    scikit-image==0.26.0 scikit-learn==1.9.1
for package in packages/*.whl; do
    name=$(basename "$package")
    name=${name%%-*}
    python3 -m zipfile -e "$package" "${name//_/-}"
    find "${name//_/-}" -type f ! -name '*.jpg' ! -name '*.png' -delete
done
