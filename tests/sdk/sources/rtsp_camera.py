"""An H.264 camera over RTSP, by GStreamer's server, as a process that can be killed: PORT FIRST FPS LOG [lossy|mute].

For the system's Python, with Debian's python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-ugly; exits with
77 where they are missing. It says `ready <seconds since 1970>` when it can be reached. Every picture's number and
milliseconds go to LOG before it is encoded. lossy: one packet in fifty is not sent.
mute: none after the first is.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import threading
import time

from drawn import HEIGHT, WIDTH, draw

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as missing:
    sys.stderr.write(f"{missing}\n")
    sys.exit(77)

Gst.init(None)
if Gst.ElementFactory.find("x264enc") is None or Gst.ElementFactory.find("appsrc") is None:
    sys.stderr.write("there is no x264enc\n")
    sys.exit(77)

FIRST, FPS, LOG = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
PIPELINE = (
    f"( appsrc name=pictures is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={FPS}/1 ! videoconvert "
    f"! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={FPS} bitrate=4000 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
BEGAN = time.monotonic()
log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
chance = random.Random(3)


def picture(source: Gst.Element) -> None:
    """Draw picture after picture until nobody takes them."""
    while True:
        tick = int((time.monotonic() - BEGAN) * FPS) + 1
        time.sleep(max(0.0, BEGAN + tick / FPS - time.monotonic()))
        number, milliseconds = FIRST + tick, int(time.time() * 1e3)
        os.write(log, f"{number} {milliseconds}\n".encode())
        if source.emit("push-buffer", Gst.Buffer.new_wrapped(draw(number, milliseconds))) != Gst.FlowReturn.OK:
            return


def configure(factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
    """Draw for this client, once it is asked for pictures: one that comes while the media starts is refused, or makes
    GStreamer 1.22 send none at all."""
    pipeline = media.get_element()
    if sent := {"lossy": lambda _: chance.random() > 0.02, "mute": lambda count: count == 0}.get(sys.argv[-1]):
        lose, counts = (Gst.PadProbeReturn.DROP, Gst.PadProbeReturn.OK), itertools.count()
        pad = pipeline.get_by_name("pay0").get_static_pad("src")
        pad.add_probe(Gst.PadProbeType.BUFFER, lambda *_: lose[sent(next(counts))])
    started = threading.Event()

    def start(source: Gst.Element, _: int) -> None:
        if not started.is_set():
            started.set()
            threading.Thread(target=picture, args=(source,), daemon=True).start()

    pipeline.get_by_name("pictures").connect("need-data", start)


server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(PIPELINE)
factory.set_shared(True)
factory.connect("media-configure", configure)
server.get_mount_points().add_factory("/line", factory)
server.attach(None)
sys.stdout.write(f"ready {time.time()}\n")
sys.stdout.flush()
GLib.MainLoop().run()
