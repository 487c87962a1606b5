"""Settings of the documentation site. `inv docs` builds it; a warning is an error.

The pages are Markdown that reads well on GitHub too. What the catalogue knows about each model is added to models.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from template_docs import CATALOGUE_PLACE, details_of_models  # noqa: E402

project = "ai-service"
author = "toffee"
extensions = ["myst_parser", "sphinxcontrib.mermaid", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "ai-service"
html_static_path = ["_static", *(["_build/static"] if (DOCS / "_build" / "static").is_dir() else [])]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/toffee/ai-service/",
    "source_branch": "main",
    "source_directory": "docs/",
    "navigation_with_keys": False,
}
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
# The diagrams' program is a file of the site: `inv docs` takes it from npm, so no reader's browser asks a CDN.
mermaid_use_local = "mermaid/mermaid.esm.min.mjs"
mermaid_light_theme = "neutral"
mermaid_fullscreen = False
mermaid_height = "auto"
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_only_copy_prompt_lines = True


def add_models(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what the catalogue knows into the page about models."""
    if page == "models":
        source[0] = source[0].replace(CATALOGUE_PLACE, details_of_models())


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_models)
