#!/usr/bin/env bash
# Takes the picture of a page of `possession probe`, with Debian's packages chromium, fonts-dejavu-core and
# pngquant. The server of the page is one of the tests, which does not compare the path in `htu`.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
PROBE_PAGE=$folder/page.html cargo test --quiet --features cli --test cli write_the_page -- --ignored
# One request and its response are shown as they are after a click.
sed -i '0,/<details>/s//<details open>/' "$folder/page.html"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$folder/profile" \
  --window-size=1000,760 --screenshot="$folder/page.png" "file://$folder/page.html" 2>/dev/null
pngquant --force --output docs/probe-page.png 64 "$folder/page.png"
