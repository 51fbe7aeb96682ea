"""The figures of repeated measurements and the table they are shown in."""

import statistics
import typing


class Bar(typing.NamedTuple):
    limit: float
    at_most: bool = False

    def met(self, value):
        if value is None:
            return False
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self):
        return f"{'at most' if self.at_most else 'at least'} {self.limit}"


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ratios(above, below):
    """Repetition by repetition, since what is measured in turn drifts together."""
    return [a / b for a, b in zip(above, below) if a and b]


def number(value):
    if value is None:
        return "-"
    decimals = max(0, 3 - len(str(int(value))))
    return f"{value:,.{decimals}f}"


def spread(values):
    return f"{min(values):.2f} - {max(values):.2f}" if values else "-"


class Table:
    """Prints rows as they come; remembers whether a bar was missed."""

    def __init__(self, columns, with_bars):
        self.widths = [max(len(name), width) for name, width in columns.items()]
        self.with_bars = with_bars
        self.missed = False
        self._print(columns, "bar")

    def row(self, cells, *judged):
        """`judged` are pairs of a value and its bar, which may be None."""
        verdicts = []
        for value, bar in judged:
            if bar:
                self.missed |= not bar.met(value)
                verdicts.append(f"{bar}: {'met' if bar.met(value) else 'MISSED'}")
        self._print(cells, ", ".join(verdicts))

    def _print(self, cells, verdict):
        first, *rest = [
            f"{cell:>{width}}" if column else f"{cell:{width}}"
            for column, (cell, width) in enumerate(zip(cells, self.widths))
        ]
        print("  ".join([first, *rest, verdict if self.with_bars else ""]).rstrip(), flush=True)
