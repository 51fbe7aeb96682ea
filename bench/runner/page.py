"""Writes the figures into a page: a table between two marks, and a picture of it beside the page."""

import datetime
import math
import pathlib
import platform
import re
import subprocess

from runner.table import median, number, spread

BEGIN, END = "<!-- figures: bench/run --page -->", "<!-- end of figures -->"


def write_page(path, rows, options):
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{path} lacks the marks {BEGIN} and {END}")
    picture = path.with_suffix(".svg")
    picture.write_text(draw(rows), encoding="utf-8")
    figures = "\n".join([
        conditions(options),
        "",
        f"![How many times faster than Go and than threads]({picture.name})",
        "",
        *table(rows),
    ])
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}", encoding="utf-8")


def go_version():
    told = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"go([\d.]+)", told)
    return version[1] if version else "-"


def conditions(options):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    kernel = ".".join(platform.release().split(".")[:2])
    today = datetime.date.today().isoformat()
    return (f"{cpu[1] if cpu else platform.machine()}, Linux {kernel}, "
            f"Go {go_version()}, {options.workers} workers on as many processors, "
            f"medians of {options.repetitions}, {today}.")


def table(rows):
    yield "| workload | unit | sluice | Go | times faster | spread | threads | aimed at |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        cells = [row.label.strip(), row.unit, number(median(row.ours)), number(median(row.go)),
                 number(median(row.faster)), spread(row.faster), number(median(row.threads)),
                 str(row.bar) if row.bar else ""]
        yield f"| {' | '.join('' if cell == '-' else cell for cell in cells)} |"


# --- the picture ----------------------------------------------------------------------------------

LABELS, PLOT, ROW, TOP, BAR = 170, 560, 34, 56, 11
LEAST, MOST = 0.25, 4096  # times faster; the axis is logarithmic
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .faint { fill: #6e7781 } .line { stroke: #d0d7de } .one { stroke: #57606a }
  .go { fill: #0969da } .threads { fill: #8c959f } .aim { stroke: #cf222e; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint { fill: #8b949e } .line { stroke: #30363d }
    .one { stroke: #8b949e } .go { fill: #4493f8 } .threads { fill: #6e7681 }
    .aim { stroke: #ff7b72 }
  }
"""


def position(times):
    share = math.log(min(max(times, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LABELS + PLOT * share


def bar(kind, times, top):
    left, right = sorted((position(1), position(times)))
    return (f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" '
            f'height="{BAR}"/><text class="faint" x="{right + 5:.1f}" y="{top + 10}">'
            f"{number(times)}</text>")


def draw(rows):
    drawn = [row for row in rows if row.go or row.threads]
    height = TOP + ROW * len(drawn) + 10
    width = LABELS + PLOT + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<style>{STYLE}</style>",
        f'<text x="{LABELS}" y="16">times faster than <tspan class="go">Go</tspan> and than '
        '<tspan class="threads">std::thread</tspan>; red: what is aimed at beside Go</text>',
    ]
    times = LEAST
    while times <= MOST:
        x, kind = position(times), "one" if times == 1 else "line"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" '
                     f'y2="{height}"/><text class="faint" x="{x:.1f}" y="{TOP - 16}" '
                     f'text-anchor="middle">{times:g}</text>')
        times *= 4
    for number_of_row, row in enumerate(drawn):
        top = TOP + ROW * number_of_row
        parts.append(f'<text x="{LABELS - 10}" y="{top + 15}" text-anchor="end">'
                     f"{row.label.strip()}</text>")
        if row.faster:
            parts.append(bar("go", median(row.faster), top))
        if row.faster_than_threads:
            parts.append(bar("threads", median(row.faster_than_threads), top + BAR + 2))
        if row.bar and not row.bar.at_most:
            x = position(row.bar.limit)
            parts.append(f'<line class="aim" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2}" '
                         f'y2="{top + BAR + 2}"/>')
    return "\n".join([*parts, "</svg>", ""])
