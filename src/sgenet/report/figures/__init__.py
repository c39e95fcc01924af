"""The figures of the report: what each shows; `plot` draws them with matplotlib, in the colours of the page."""
