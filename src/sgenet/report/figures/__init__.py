"""The figures of the report: their geometry, which the templates draw as SVG in the colours of the page."""
