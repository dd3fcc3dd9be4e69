"""MkDocs hooks: add pages for files outside docs/, fill in generated text, rewrite links into the source."""

from __future__ import annotations

import links
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside docs/ that is shown, and for every source file that a page links to."""
    texts = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    shown = {path: page for path, page in links.SHOWN.items() if (links.ROOT / path).is_file()}
    for path, page in shown.items():
        text = (links.ROOT / path).read_text(encoding="utf-8")
        text = reference.from_changelog(text) if path.endswith(".rst") else text
        texts[path] = text
        files.append(File.generated(config, page, content=links.rewrite(text, path, page)))
    linked = sorted({path for origin, text in texts.items() for path in links.linked_files(text, origin)})
    for path in linked:
        files.append(File.generated(config, f"source/{path}.md", content=links.source_page(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in generated text, and rewrite links into the repository as links of the site."""
    uri = page.file.src_uri
    if page.file.generated_by is not None:
        return markdown
    return reference.expand(links.rewrite(markdown, f"docs/{uri}", uri))
