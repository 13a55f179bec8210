// The live picture. Each request waits on the server for a picture that is newer than the last: a slow tablet gets
// fewer, nothing piles up, and the verdict above the picture is always that picture's own.
import { byId, clock, number, say, shortName } from "/words.js";

const PAUSE = 95; // ms at least from one picture to the next
const LATE = 5000; // ms after which a picture is old, where verdicts were made since it was asked for
const WORDS = { accept: "✓ Accept", warn: "! Warn", reject: "✕ Reject" };

export class LiveView {
  constructor() {
    this.frame = byId("frame");
    this.canvas = byId("picture");
    this.camera = null;
    this.number = 0;
    this.shown = performance.now();
    this.life = 0; // a picture that was asked for before `forget` is not shown after it
    this.result = null;
    this.covered = "";
    this.loop();
  }

  forget() {
    this.number = 0;
    this.life += 1;
    this.result = null;
    this.shown = performance.now();
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.say();
  }

  show(camera) {
    this.camera = camera;
    if (camera.judged === this.number) this.shown = performance.now();
  }

  get late() { return this.camera?.state === "live" && performance.now() - this.shown > LATE; }

  cover(curtain) {
    const text = curtain ? curtain.join("\n") : "";
    if (text === this.covered) return;
    this.covered = text;
    this.frame.classList.toggle("old", Boolean(curtain));
    if (curtain) [byId("curtain").children[0].textContent, byId("curtain").children[1].textContent] = curtain;
    this.say();
  }

  async loop() {
    for (;;) {
      const begin = performance.now();
      const came = this.camera && !document.hidden ? await this.next().catch(() => false) : false;
      const spent = performance.now() - begin;
      await new Promise((done) => setTimeout(done, came ? Math.max(0, PAUSE - spent) : 250));
    }
  }

  async next() {
    const life = this.life, asked = performance.now(), wide = this.frame.clientWidth * Math.min(devicePixelRatio, 2);
    const longest = Math.max(wide, this.frame.clientHeight * Math.min(devicePixelRatio, 2));
    const size = [480, 800, 1280].find((one) => one >= longest * 0.85) ?? 1280;
    const answer = await fetch(`/live.jpg?camera=${this.camera.camera}&after=${this.number}&size=${size}`, { signal: AbortSignal.timeout(8000) });
    if (answer.status !== 200) return false;
    const result = JSON.parse(answer.headers.get("x-result"));
    const bitmap = await createImageBitmap(await answer.blob());
    if (life !== this.life) return true;
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      [this.canvas.width, this.canvas.height] = [bitmap.width, bitmap.height];
      this.frame.style.setProperty("--wide", bitmap.width);
      this.frame.style.setProperty("--high", bitmap.height);
    }
    this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    this.number = result.number;
    this.shown = asked; // it may have been long on its way
    this.result = result;
    this.say();
    return true;
  }

  // The verdict is shown as one only while its picture is live.
  say() {
    const box = byId("verdict"), result = this.result, old = this.covered !== "";
    box.className = `verdict ${result && !old ? result.verdict : "none"}`;
    say(byId("word"), result ? (old ? "Not live" : WORDS[result.verdict]) : "No verdict yet");
    byId("score").textContent = result ? `${old ? `last: ${result.verdict}, ` : ""}score ${number(result.score)}` : "";
    byId("where").textContent = result ? `${clock(result.captured_at)} · frame ${result.frame_id} · ${shortName(result.source)}` : "";
    const label = result ? `${old ? "Old picture" : "Live picture"}, ${result.verdict}, ${result.regions} marked` : "No picture yet";
    this.canvas.setAttribute("aria-label", label);
  }
}
