"""A report as HTML: one page without any outside request, readable with a screen reader, in the dark and on a phone."""

import math
from html import escape

from counterfactory.results.cells import Cell, Estimate, Row, number, text
from counterfactory.results.report import Figure, Report

_STYLE = """
.cf-report { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --band: #f6f8fa; --mark: #0757ba;
  color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; color-scheme: light dark; }
.cf-report h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
.cf-report h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.cf-report .scroll { overflow-x: auto; }
.cf-report table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.cf-report th, .cf-report td { padding: .4rem .8rem; text-align: left; vertical-align: top; border: 0;
  border-bottom: 1px solid var(--line); }
.cf-report thead th { border-bottom: 2px solid var(--ink); }
.cf-report tbody th { font-weight: 600; }
.cf-report .number { text-align: right; white-space: nowrap; }
.cf-report .group { color: var(--soft); background: var(--band); font-weight: 400; }
.cf-report small, .cf-report figcaption, .cf-report dt { color: var(--soft); }
.cf-report small { display: block; font-size: .8rem; }
.cf-report svg { display: block; margin: .2rem 0 0 auto; color: var(--mark); }
.cf-report figure { margin: 1rem 0; }
.cf-report img { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; }
.cf-report dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
.cf-report dd { margin: 0; overflow-wrap: anywhere; }
.cf-report code { font: .9em ui-monospace, monospace; }
.cf-report :focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
@media (prefers-color-scheme: dark) { .cf-report { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117;
  --band: #151b23; --mark: #6cb0ff; } }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the browser refuses every outside request


def page(report: Report) -> str:
    """The whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(report.title)}</title>\n<style>body {{ margin: 0; }}\n"
        ".cf-report { box-sizing: border-box; min-height: 100vh; padding: 2rem max(1rem, calc(50vw - 36rem)); }\n"
        f"</style>\n</head>\n<body>\n<main>\n{article(report)}\n</main>\n</body>\n</html>\n"
    )


def article(report: Report) -> str:
    """The report with its style, to be put into a page or a notebook."""
    parts = [f"<h1>{escape(report.title)}</h1>", _table(report)]
    if any(isinstance(cell, Estimate) for row in (*report.rows, *report.controls) for cell in row.values()):
        parts.append("<p><small>In brackets: 95% interval. n: units behind the value.</small></p>")
    if report.notes:
        parts.append("<h2>Notes</h2>\n<ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>")
    parts += [_figure(figure) for figure in report.figures]
    parts.append(_reproduce(report))
    return f'<article class="cf-report">\n<style>{_STYLE}</style>\n' + "\n".join(parts) + "\n</article>"


def _table(report: Report) -> str:
    head = "".join(f'<th scope="col"{_class(report, name)}>{escape(name)}</th>' for name in report.columns)
    spans = {name: _span(report, name) for name in report.columns}
    body = "<tbody>" + "".join(_row(report, row, spans) for row in report.rows) + "</tbody>"
    if report.controls:
        title = f'<tr><th class="group" scope="rowgroup" colspan="{len(report.columns)}">Controls</th></tr>'
        body += "<tbody>" + title + "".join(_row(report, row, spans) for row in report.controls) + "</tbody>"
    # a wide table scrolls by itself, also with the keyboard, and the page does not
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(report.title)}: table">'
        f"<table><thead><tr>{head}</tr></thead>{body}</table></div>"
    )


def _row(report: Report, row: Row, spans: dict[str, tuple[float, float] | None]) -> str:
    cells = []
    for i, name in enumerate(report.columns):
        tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
        cells.append(f"<{tag}{scope}{_class(report, name)}>{_cell(row.get(name), spans[name])}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _class(report: Report, column: str) -> str:
    return ' class="number"' if report.is_numeric(column) else ""


def _cell(cell: Cell, span: tuple[float, float] | None) -> str:
    if not isinstance(cell, Estimate):
        return escape(text(cell))
    return f"{number(cell.value)}<small>{cell.interval} n={cell.n}</small>" + (_whisker(cell, *span) if span else "")


def _span(report: Report, column: str) -> tuple[float, float] | None:
    """From the lowest to the highest end in a column, 0 included; None when there is nothing to compare."""
    cells = [row.get(column) for row in (*report.rows, *report.controls)]
    ends = [end for cell in cells if isinstance(cell, Estimate) for end in (cell.low, cell.value, cell.high)]
    if len(ends) < 6 or not all(map(math.isfinite, ends)):
        return None
    low, high = min(0.0, *ends), max(0.0, *ends)
    return (low, high) if high > low else None


def _whisker(cell: Estimate, low: float, high: float) -> str:
    """A dot with its interval on the column's scale, and a line at 0. It repeats the text: screen readers skip it."""
    zero, left, dot, right = (3 + 114 * (v - low) / (high - low) for v in (0.0, cell.low, cell.value, cell.high))
    return (
        '<svg width="120" height="10" viewBox="0 0 120 10" aria-hidden="true" focusable="false">'
        f'<path d="M{zero:.1f} 0V10" stroke="currentColor" opacity=".35"/>'
        f'<path d="M{left:.1f} 5H{right:.1f}" stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{dot:.1f}" cy="5" r="3" fill="currentColor"/></svg>'
    )


def _figure(figure: Figure) -> str:
    picture = f'<img src="{figure.uri}" alt="{escape(figure.alt)}">'
    return f"<figure>{picture}<figcaption>{escape(figure.title)}</figcaption></figure>"


def _reproduce(report: Report) -> str:
    again = report.reproduce
    facts = {
        "Command": f"<code>{escape(again.command)}</code>" if again.command else "",
        "Seeds": ", ".join(map(str, again.seeds)),
        "Versions": escape(", ".join(f"{name} {version}" for name, version in again.versions.items())),
        "Source": f"<code>{escape(again.source)}</code>",
        "Digest": f"<code>{report.to_dict()['digest'][:16]}</code>",
    }
    return (
        "<h2>Reproduce</h2>\n<dl>"
        + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
        + "</dl>"
    )
