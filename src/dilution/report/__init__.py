"""Published results: the style of figures, self-contained HTML pages, and the same as Markdown."""
