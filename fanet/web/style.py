"""How the page looks: fonts of the reader's system, colours in light and dark, and one column on a phone."""

import gradio as gr

#: Fonts that every system has, so that none is fetched.
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_MONO = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, monospace"

CSS = f"""
:root, .dark {{ --font: {_FONT}; --font-mono: {_MONO}; }}
.title h1 {{ font-size: 1.5rem; margin: 0; }}
.title p, table.classes th, .maps small {{ color: var(--body-text-color) !important; opacity: .75; }}
.title p {{ margin: .25rem 0 0; }}
.headline {{ margin: 0; line-height: 1.5; }}
#picture img {{ width: 100%; max-height: 70vh; object-fit: contain; cursor: crosshair; }}
.slim .html-container {{ padding: 0 .25rem !important; }}
table.classes {{ width: 100%; border-collapse: collapse; border: 0 !important; font-variant-numeric: tabular-nums; }}
table.classes caption {{ text-align: left; font-weight: 600; }}
table.classes th {{ text-align: left; font-weight: 400; }}
table.classes th, table.classes td {{ padding: .25rem .5rem .25rem 0 !important; border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important; }}
table.classes tr {{ border: 0 !important; }}
table.classes td {{ white-space: nowrap; }}
table.classes td:nth-child(3) {{ width: 35%; }}
.swatch {{ display: inline-block; width: 1em; height: 1em; margin-right: .5em; vertical-align: -.15em;
  border: 1px solid var(--body-text-color); border-radius: 3px; }}
.bar {{ display: block; height: .6em; border-radius: 3px; background: var(--border-color-primary); overflow: hidden; }}
.bar span {{ display: block; height: 100%; background: var(--body-text-color-subdued); }}
.maps {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(115px, 1fr)); gap: .75rem; }}
.maps figure {{ margin: 0; }}
.maps img {{ width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }}
.maps figcaption {{ font-size: .85rem; line-height: 1.3; padding-top: .25rem; }}
.maps small {{ display: block; }}
:focus-visible {{ outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }}
"""


def theme() -> gr.themes.Base:
    """Return the theme."""
    return gr.themes.Default(primary_hue="teal", secondary_hue="teal", font="sans-serif", font_mono="monospace")
