"""What somebody asks for by a signal."""

from __future__ import annotations


class Asked:
    """Set by a signal's handler, taken by the thread that it interrupts. It has no lock: the handler may come while the
    thread holds it. Any number of times before it is taken are one."""

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        """Ask."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether somebody asks."""
        return self._asked

    def take(self) -> bool:
        """Whether somebody asked; who asks from here on asks again."""
        if not self._asked:
            return False
        self._asked = False
        return True
