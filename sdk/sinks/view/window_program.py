"""The window of `WindowSink`. It is a program of its own because Xlib ends the process whose display goes away.

Standard input brings pictures: the length of a PPM file, four bytes of which the lowest comes first, and the file. When
it ends, so does the program. Standard output says what happens, a line each: `size WIDTH HEIGHT` at the start and after
every change, `shown` after each picture, `quit` when somebody pressed Q or closed the window, `error WHY`.
"""

from __future__ import annotations

import sys
from typing import Any

_WIDTH, _HEIGHT = 1280, 720
_LEAST = (320, 240)


def main() -> None:
    """Show what comes until nothing more comes, or nobody wants to see it."""
    try:
        import tkinter
    except ImportError:
        _tell("error tkinter")
        return
    try:
        root = tkinter.Tk(className="edgead")
    except tkinter.TclError as error:
        _tell(f"error {error}")
        return
    root.title(sys.argv[1])
    screen = (root.winfo_screenwidth(), root.winfo_screenheight())
    root.geometry(f"{min(_WIDTH, screen[0] * 4 // 5)}x{min(_HEIGHT, screen[1] * 4 // 5)}")
    root.minsize(*_LEAST)
    picture = tkinter.PhotoImage(master=root)
    tkinter.Label(root, image=picture, background="black", borderwidth=0).pack(expand=True, fill="both")
    size = (0, 0)
    before = ""  # the geometry to come back to from the full screen

    def resized(event: Any) -> None:
        nonlocal size
        if event.widget is root and size != (event.width, event.height):
            size = (event.width, event.height)
            _tell(f"size {event.width} {event.height}")

    def full_screen(event: object) -> None:
        nonlocal before
        if not before:
            before = root.geometry()
            root.attributes("-fullscreen", True)
            # Where no window manager runs, nobody carries that out
            root.geometry(f"{screen[0]}x{screen[1]}+0+0")

    def leave(event: object) -> None:
        nonlocal before
        if before:
            root.attributes("-fullscreen", False)
            root.geometry(before)
            before = ""

    def quit_(event: object = None) -> None:
        _tell("quit")
        root.destroy()

    def show(file: object, mask: int) -> None:
        length = int.from_bytes(sys.stdin.buffer.read(4), "little")
        content = sys.stdin.buffer.read(length)
        if not length or len(content) < length:
            root.destroy()
            return
        picture.configure(data=content)
        root.update_idletasks()
        _tell("shown")

    root.bind("<Configure>", resized)
    root.protocol("WM_DELETE_WINDOW", quit_)
    for key, action in {"f": full_screen, "Escape": leave, "q": quit_}.items():
        for name in {key, key.upper() if len(key) == 1 else key}:
            root.bind(f"<KeyPress-{name}>", action)
    root.tk.createfilehandler(sys.stdin, tkinter.READABLE, show)
    root.mainloop()


def _tell(line: str) -> None:
    sys.stdout.write(f"{' '.join(line.split())}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
