"""Reproduced against published gain, with the diagonal on which every gain is replicated exactly."""

from markupsafe import Markup

from sgenet.judgement.main_gains import MainGains
from sgenet.report.figures.plot import SOFT, Line, draw_lines, span
from sgenet.report.formats import interval, signed

SIZE = (400, 300)


def draw_scatter(main: MainGains) -> Markup | None:
    """The figure of a replication; None below scale `paper`, where sizes are not compared, or without two gains."""
    shown = [(one, one.cell.gain, float(one.cell.published_gain or 0)) for one in main.gains if one.cell.gain]
    shown = [(one, gain, published) for one, gain, published in shown if published]
    if main.ratio is None or len(shown) < 2:
        return None
    end = 1.1 * max(published for _, _, published in shown)
    lines = [Line([[(0, 0), (end, slope * end)]], SOFT, 1, (4, 4)) for slope in (1.0, 0.5)]
    lines.append(Line([[(0, 0), (end, 0)]], SOFT, 1))
    words, values = [], [0.0, end]
    for one, gain, published in shown:
        text = f"{one.label}, {one.cell.column.label}: published {signed(published, 2)}, "
        text += f"reproduced {signed(gain.value, 2)}"
        curves = []
        if gain.low is not None and gain.high is not None:
            text += f" {interval((gain.low, gain.high), 2, sign=True)}"
            curves = [[(published, gain.low), (published, gain.high)]]
        words.append(text)
        values += [gain.value, *(y for curve in curves for _, y in curve)]
        lines.append(Line(curves, dots=[(published, gain.value)], run=one.run))
    alt = f"Reproduced against published gain of SGE, {len(shown)} points. {'; '.join(words)}"
    labels = ("published gain", "reproduced gain")
    return draw_lines(alt, lines, (0, end), span(values, 0.03), labels, SIZE)
