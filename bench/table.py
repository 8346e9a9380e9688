"""Tables as the benchmarks print them: Markdown, so that a run can be kept as it is."""

from __future__ import annotations

from collections.abc import Sequence


class Table:
    """A title, columns and rows; numbers stand on the right."""

    def __init__(self, title: str, *columns: str) -> None:
        self._title = title
        self._rows: list[list[str]] = [list(columns)]

    def add(self, *cells: object) -> None:
        """Add a row."""
        self._rows.append([_shown(cell) for cell in cells])

    def show(self, *notes: str) -> None:
        """Print the table, and what a reader should know below it."""
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        print(f"\n### {self._title}\n")
        for number, row in enumerate(self._rows):
            print(_line(row, widths))
            if number == 0:
                left, *right = (("-" * width) for width in widths)
                print(f"| {left} | " + " | ".join(f"{line[:-1]}:" for line in right) + " |")
        for note in notes:
            print(f"\n{note}")
        print(flush=True)


def ratio(peer: float, ours: float) -> str:
    """Say how many times better ours is."""
    return f"{peer / ours:,.0f} ×" if peer / ours >= 10 else f"{peer / ours:.1f} ×"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = row
    cells = [first.ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return f"| {' | '.join(cells)} |"


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if cell >= 100 else f"{cell:.1f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
