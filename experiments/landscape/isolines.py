"""Lines of one value on a grid of values, by marching squares."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Line = list[tuple[float, float]]
_Edge = tuple[int, int, int]  # row, column and 0 for the edge to the next column, 1 for the one to the next row


def isolines(x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[np.float64], level: float) -> list[Line]:
    """Where values, linear between neighbours, are `level`, as lines of (x, y).

    x: float64 [columns]; y: float64 [rows]; values: float64 [rows, columns], finite. A line that comes back to its
    beginning ends with its first point again; any other one ends at the border. In a cell that is crossed twice, the
    mean of its corners says which of them are connected.
    """
    above = values >= level
    corners = np.stack([above[:-1, :-1], above[:-1, 1:], above[1:, 1:], above[1:, :-1]])
    neighbours: defaultdict[_Edge, list[_Edge]] = defaultdict(list)
    for row, column in np.argwhere(corners.any(0) & ~corners.all(0)).tolist():
        middle = bool(values[row : row + 2, column : column + 2].mean() >= level)
        for one, other in _segments(row, column, corners[:, row, column].tolist(), middle):
            neighbours[one].append(other)
            neighbours[other].append(one)

    def place(edge: _Edge) -> tuple[float, float]:
        row, column, down = edge
        to_row, to_column = row + down, column + 1 - down
        share = (level - values[row, column]) / (values[to_row, to_column] - values[row, column])
        along = x[column] + share * (x[to_column] - x[column]), y[row] + share * (y[to_row] - y[row])
        return float(along[0]), float(along[1])

    return [list(map(place, chain)) for chain in _chains(neighbours)]


def region(x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[np.float64], level: float) -> list[Line]:
    """The borders of where values are `level` or more, as closed lines, to be filled by the even-odd rule. Arguments as
    `isolines` has them."""
    # A rim of lower values, no wider than nothing, closes each line along the border.
    low = min(level, float(values.min())) - 1.0
    rimmed = np.pad(values, 1, constant_values=low)
    return isolines(np.pad(x, 1, "edge"), np.pad(y, 1, "edge"), rimmed, level)


def _segments(row: int, column: int, corners: list[bool], middle: bool) -> list[tuple[_Edge, _Edge]]:
    """The lines through a cell, each from edge to edge. corners: which are above, in the order around the cell."""
    edges = [(row, column, 0), (row, column + 1, 1), (row + 1, column, 0), (row, column, 1)]  # after each corner
    crossed = [edge for edge, one, next_ in zip(edges, corners, corners[1:] + corners[:1], strict=True) if one != next_]
    if len(crossed) == 2:
        return [(crossed[0], crossed[1])]
    first, second, third, last = edges
    # Where the first corner is connected with the one across, the other two are cut off.
    return [(first, second), (third, last)] if middle == corners[0] else [(last, first), (second, third)]


def _chains(neighbours: dict[_Edge, list[_Edge]]) -> list[list[_Edge]]:
    """The edges in the order of their lines: those with two ends, and then those that go around."""
    chains, left = [], set(neighbours)
    for start in sorted(neighbours, key=lambda edge: (len(neighbours[edge]), edge)):
        if start not in left:
            continue
        chain: list[_Edge] = []
        following = [start]
        while following:
            left.remove(following[0])
            chain.append(following[0])
            following = [edge for edge in neighbours[chain[-1]] if edge in left]
        chains.append([*chain, start] if len(neighbours[start]) == 2 else chain)
    return chains
