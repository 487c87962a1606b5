"""Build the documentation site, strictly: `inv docs`.

The site shows diagrams without asking a CDN: their program, mermaid, is taken from npm when the site is built.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

DOCS = Path(__file__).parent / "docs"
BUILT = DOCS / "_build"
PROGRAM = BUILT / "static" / "mermaid"  # docs/conf.py makes it a part of the site
MERMAID = "mermaid@11.17.2"
INTEGRITY = "V6K3C8EBdEsPFZXSKMJe6ppQOENxuHARr9GvHX4hh47lAbhMRD9qf4oEK7LoaRQxULMa80/qt5gHO73aCleBBg=="


def build(site: Path, *, diagrams: bool = True) -> None:
    """Build the site in a folder. Without `diagrams`, it shows their text instead, and needs no network.

    Raises RuntimeError when npm is missing or has another file than expected, and CalledProcessError for a warning.
    """
    if diagrams and not PROGRAM.is_dir():
        fetch_mermaid(PROGRAM)
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--fresh-env", "--builder", "html"]
    command = [sys.executable, "-m", "sphinx", *options, "--doctree-dir", str(site) + ".doctrees", str(DOCS), str(site)]
    subprocess.run(command, check=True)


def fetch_mermaid(folder: Path) -> None:
    """Write mermaid's module and its parts into a folder. Raises RuntimeError, see `build`."""
    with TemporaryDirectory() as temporary:
        try:
            packed = ["npm", "pack", "--silent", MERMAID]
            name = subprocess.run(packed, cwd=temporary, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            raise RuntimeError(f"npm did not bring {MERMAID}, which draws the diagrams: {error}") from None
        archive = Path(temporary, name)
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != INTEGRITY:
            raise RuntimeError(f"{MERMAID} from npm is not the file that documentation.py expects")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                inner = member.name.removeprefix("package/dist/")
                if member.isfile() and inner.startswith(("mermaid.esm.min.mjs", "chunks/mermaid.esm.min/")):
                    _write(folder / inner, tar, member)


def _write(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if not path.name.endswith(".mjs"):  # source maps
        return
    content = tar.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.read() if content else b"")
