#!/usr/bin/env bash
# Installs what `inv` needs into .venv, the locked versions. The container runs this once, when it is created.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
test -e .env || cp .env.example .env
.venv/bin/inv --list
