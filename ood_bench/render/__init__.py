"""Tables for people: text, Markdown, LaTeX, CSV and HTML. Knows rows, and nothing of where they come from."""

from ood_bench.render.table import FORMATS, Format, render, to_html

__all__ = ["FORMATS", "Format", "render", "to_html"]
