"""Lines of a GPIO chip: what moves a gate or lights a lamp, and the light barrier that begins a part."""
