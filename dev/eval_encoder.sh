#!/usr/bin/env bash
# Measure the bundled encoder again and compare with its model card. Arguments go to
# training.evaluate; with any, the figures are of something else and are only printed.
set -euo pipefail
cd "$(dirname "$0")/.."
dev/install.sh requirements.txt

say() { printf '%s\n' "$*" >&2; }

# npm brings the drawings and their names.
if ! command -v npm >/dev/null; then
    # shellcheck source=dev/apt.sh
    source dev/apt.sh
    apt_install "This needs npm, which comes with Node.js" nodejs npm
fi

# Two terminals may start at once; the second waits and then finds everything done.
exec 9>.install.lock
flock 9

environment=.venv-training
python=$environment/bin/python
wanted=$(cat training/requirements.txt requirements.txt | sha256sum | cut -d' ' -f1)
if [ "$(cat $environment/.installed 2>/dev/null)" != "$wanted" ] || ! $python -c '' 2>/dev/null; then
    # The installer reads its own settings only; a company's package index is usually told to pip.
    index=$(.venv/bin/python dev/get_uv.py index)
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
    say "Installing training/requirements.txt into $environment ..."
    .venv/bin/python -m uv venv --quiet --clear --python .venv/bin/python $environment
    .venv/bin/python -m uv pip install --quiet --python $python -r training/requirements.txt
    printf '%s\n' "$wanted" >$environment/.installed
fi

# Fetched again whenever a pin changes: what is there may be of another version.
fetched() { [ "$(cat "$1/.fetched" 2>/dev/null)" = "$2" ]; }
pins=$(sha256sum <training/fetch_artwork.sh | cut -d' ' -f1)
if ! fetched training/artwork "$pins"; then
    say "Fetching the drawings and their names (about 320 MB; once) ..."
    training/fetch_artwork.sh >&2
    printf '%s\n' "$pins" >training/artwork/.fetched
fi
# OpenMoji is the examination: here and nowhere else, apart from what the training reads.
exam=@iconify-json/openmoji@1.2.29
if ! fetched training/exam "$exam"; then
    mkdir -p training/exam
    npm install --prefix training/exam --ignore-scripts --no-audit --no-fund --no-save "$exam" >&2
    printf '%s\n' "$exam" >training/exam/.fetched
fi
# Cut-out photographs under the GPL-2, which only measure. Debian packages them; elsewhere that part of
# the card is left out.
stamps=training/exam/stamps
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && [ ! -d $stamps/usr ]; then
    say "Fetching tuxpaint-stamps-default (160 MB; once) ..."
    mkdir -p $stamps
    if (cd $stamps && apt-get download tuxpaint-stamps-default >&2); then
        dpkg-deb -x $stamps/tuxpaint-stamps-default_*.deb $stamps
        rm $stamps/*.deb
    fi
fi
exec 9>&-

evaluate=("$python" -m training.evaluate)
if [ $# -gt 0 ]; then
    exec "${evaluate[@]}" "$@"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The photographs are not everybody's: without them that part of the card is left out.
photos=()
[ ! -d ../shared/photos ] || photos=(--photos ../shared/photos)
exam=()
[ ! -d $stamps/usr ] || exam=(--stamps "$stamps/usr/share/tuxpaint/stamps")
quality() {
    sed -n '/^## Measured quality/,/^## What it cannot do/{/^## What it cannot do/d;p}' "$1" |
        if [ ${#exam[@]} -gt 0 ]; then cat; else
            sed '/^### Photographs/,/^### Altered/{/^### Altered/!d}'
        fi |
        if [ ${#photos[@]} -gt 0 ]; then cat; else sed '/^### Altered photographs/,$d'; fi
}
card=models/stickers/README.md
cp "$card" "$work/card.md"
"${evaluate[@]}" --exam-packages training/exam/node_modules "${photos[@]}" "${exam[@]}" \
    --json "$work/figures.json" >/dev/null
"$python" -m training.card "$work/figures.json" --card "$work/card.md" --command "make eval-encoder"
quality "$card" >"$work/said"
quality "$work/card.md" | tee "$work/measured"
if diff -uB "$work/said" "$work/measured" >"$work/difference"; then
    echo "These are the figures of the model card, $card."
else
    echo "The model card, $card, says otherwise:"
    sed 1,2d "$work/difference"
    exit 1
fi
