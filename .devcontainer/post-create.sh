#!/usr/bin/env bash
# Installs what `inv demo` and the tests need. The container runs this once, when it is created.
set -euo pipefail
cd "$(dirname "$0")/.."

sudo apt-get update -qq
# shellcheck disable=SC2046  # one word a package
sudo apt-get install -y -qq --no-install-recommends $(cat .ci/packages) > /dev/null
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
echo 'Ready. Type: inv demo'
