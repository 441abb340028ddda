"""One design for every page that renderay writes: the report and the comparison look like one product.

    render.py        a page's own template, styles and script put into the shared ones
                     base.html: head, sections, theme button; base.css: palette, type, tables; base.js: the theme
    plot.py          axes and paths of charts

Rule: a page is one file, fetches nothing and forbids itself every script but its own (Content-Security-Policy), so
that text from a manifest stays text even if an escape were forgotten.
"""
