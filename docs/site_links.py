"""A hook of mkdocs: pages of the repository that are not in docs/ become pages of the site, or plain text in links.

It also lets the search show guides before the long page of all functions, which holds every word.
"""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
REFERENCE = "api.md"
PAGES = {"contributing.md": "CONTRIBUTING.md", "bags.md": "fanet/models/bags/README.md"}
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_files(files, config):
    """Add the pages that are elsewhere."""
    for name, path in PAGES.items():
        text = _FRONT_MATTER.sub("", (ROOT / path).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown, page, config, files: Files):
    """Point links out of docs/ to the pages that were added; what is only in the repository loses its link."""
    if page.file.src_path == REFERENCE:
        page.meta["search"] = {"boost": 0.001}
    added = {(ROOT / path).resolve(): name for name, path in PAGES.items()}

    def link(match):
        name = added.get((ROOT / "docs" / match[2]).resolve())
        return f"[{match[1]}]({name}{match[3] or ''})" if name else match[1]

    return _OUTSIDE.sub(link, markdown)
