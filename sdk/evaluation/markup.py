"""HTML and SVG elements in which text is always escaped."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is markup already. Only `element` and literals of this package make it, so no file name ever becomes
    one."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element with its children; whatever is no Markup is escaped.

    An attribute that is None is left out. A trailing underscore is dropped from its name, inner ones become dashes
    (`class_`, `stroke_width`).
    """
    inside = "".join(str(escape(child)) for child in children)
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inside}</{name}>")


def escape(text: object) -> Markup:
    """Text as markup that shows it."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))


def join(parts: list[Markup]) -> Markup:
    """Markup after markup."""
    return Markup("".join(parts))


_VOID = frozenset({"br", "hr", "img", "meta"})
