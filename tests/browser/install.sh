#!/bin/bash
# What the browser tests need beside .venv: Debian's Chromium, Playwright for Python (no browser of its own), and axe-core, pinned by
# its hash, in .browser. Run by `make browser-tests` and `make screenshots`; done once, it does nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
AXE=4.14.1
AXE_SHA256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745

if ! command -v chromium >/dev/null; then
  [ "$(id -u)" = 0 ] || { echo "error: Chromium is missing; on Debian: apt-get install chromium fonts-dejavu-core" >&2; exit 1; }
  apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
mkdir -p .browser
if ! [ .browser/playwright -nt requirements/browser.txt ]; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/browser.txt
  touch .browser/playwright
fi
if ! [ -f ".browser/axe-$AXE.min.js" ]; then
  command -v npm >/dev/null || { echo "error: npm is missing, by which axe-core comes; on Debian: apt-get install npm" >&2; exit 1; }
  (cd .browser && npm pack --silent "axe-core@$AXE" >/dev/null && echo "$AXE_SHA256  axe-core-$AXE.tgz" | sha256sum --check --quiet \
    && tar xzf "axe-core-$AXE.tgz" package/axe.min.js && mv package/axe.min.js "axe-$AXE.min.js" && rm -r package "axe-core-$AXE.tgz")
fi
