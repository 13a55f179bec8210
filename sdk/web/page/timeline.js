// The last scores, one place for each part, with the thresholds.
import { clock, number, say } from "/words.js";

const MOST = 300, NS = "http://www.w3.org/2000/svg";
const LEFT = 52, RIGHT = 104, TOP = 14, BOTTOM = 22;

export class Timeline {
  constructor(svg, reading) {
    this.svg = svg; this.reading = reading;
    this.points = []; this.limits = null; this.cursor = null; this.drawn = ""; this.end = Infinity;
    this.beyond = document.getElementById("beyond");
    svg.addEventListener("pointermove", (event) => this.point(event));
    svg.addEventListener("pointerdown", (event) => this.point(event));
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.read(null); });
    svg.addEventListener("blur", () => this.read(null));
    svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => { this.drawn = ""; this.draw(); }).observe(svg);
  }

  clear() { this.points = []; this.cursor = null; this.draw(); this.say(); }

  add(points, limits) {
    this.limits = limits;
    const last = this.points.at(-1)?.number ?? 0;
    this.points.push(...points.filter((one) => one.score !== null && one.number > last));
    this.points.splice(0, this.points.length - MOST);
    this.draw();
    this.say();
  }

  draw() {
    const { clientWidth: wide, clientHeight: high } = this.svg;
    const state = `${wide} ${high} ${this.points.at(-1)?.number} ${this.points.length} ${JSON.stringify(this.limits)} ${this.cursor}`;
    if (!wide || state === this.drawn) return;
    this.drawn = state;
    this.svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    if (!this.points.length) return this.svg.replaceChildren(make("text", { x: wide / 2, y: high / 2, "text-anchor": "middle" }, "No score yet"));
    const [low, end] = this.range(), floor = high - BOTTOM;
    const y = (score) => floor - (Math.min(score, end) - low) / (end - low) * (floor - TOP);
    this.end = end;
    const step = (wide - LEFT - RIGHT) / (MOST - 1);
    this.x = (index) => wide - RIGHT - (this.points.length - 1 - index) * step;
    const parts = [];
    for (const tick of ticks(low, end)) {
      parts.push(make("path", { class: "grid", d: `M${LEFT} ${y(tick)}H${wide - RIGHT}` }));
      parts.push(make("text", { x: LEFT - 9, y: y(tick) + 4.5, "text-anchor": "end" }, number(tick, 5)));
    }
    parts.push(make("path", { class: "thread", d: this.points.map((one, index) => `${index ? "L" : "M"}${this.x(index).toFixed(1)} ${y(one.score).toFixed(1)}`).join("") }));
    for (const kind of ["accept", "warn", "reject"]) parts.push(make("path", { class: `dots ${kind}`, d: this.dots(kind, y) }));
    parts.push(...this.marks(wide, y), ...this.times(wide, high));
    if (this.cursor !== null) {
      const index = this.points.findIndex((one) => one.number === this.cursor);
      if (index >= 0) parts.push(make("path", { class: "cursor", d: `M${this.x(index)} ${TOP}V${floor}` }), make("circle", { class: "cursor", cx: this.x(index), cy: y(this.points[index].score), r: 7 }));
    }
    this.svg.replaceChildren(...parts);
    const [last, first] = this.svg.querySelectorAll(".time"), box = first.getBBox();
    if (box.x + box.width + 12 > last.getBBox().x) first.remove(); // of few parts: there is no room for both
  }

  range() {
    const scores = this.points.map((one) => one.score), marks = this.limits ? [this.limits.reject, this.limits.warn] : [];
    const low = Math.min(...scores, ...marks), highest = Math.max(...scores, ...marks);
    // A few high scores would press all that is near the thresholds against the floor: they are shown at the edge.
    const usual = this.limits ? this.limits.reject + 2 * (this.limits.reject - low) : highest;
    const high = usual > low ? Math.min(highest, usual) : highest, pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return [low - pad, high + pad];
  }

  dots(kind, y) {
    return this.points.map((one, index) => {
      if (one.verdict !== kind) return "";
      const at = `${this.x(index).toFixed(1)} ${y(one.score).toFixed(1)}`;
      if (kind === "reject") return one.score > this.end ? `M${at}m0 -8l7 12h-14z` : `M${at}m0 -6l6 6l-6 6l-6 -6z`;
      return `M${at}h0.01`;
    }).join("");
  }

  marks(wide, y) {
    if (!this.limits) return [];
    const { reject, warn } = this.limits, apart = Math.max(0, 17 - Math.abs(y(reject) - y(warn))) / 2;
    return [["warn", warn, apart], ["reject", reject, -apart]].flatMap(([kind, value, shift]) => [
      make("path", { class: `mark ${kind}`, d: `M${LEFT} ${y(value)}H${wide - RIGHT + 6}` }),
      make("text", { class: `name ${kind}`, x: wide - RIGHT + 11, y: y(value) + 4.5 + shift }, `${kind} ${number(value, 3)}`),
    ]);
  }

  times(wide, high) {
    const first = this.points[0], last = this.points.at(-1);
    return [
      make("text", { class: "time", x: wide - RIGHT, y: high - 4, "text-anchor": "end" }, clock(last.captured_at)),
      make("text", { class: "time", x: Math.max(this.x(0), LEFT), y: high - 4 }, clock(first.captured_at)),
    ];
  }

  point(event) {
    if (!this.points.length) return;
    const at = event.clientX - this.svg.getBoundingClientRect().left;
    let best = 0;
    this.points.forEach((_, index) => { if (Math.abs(this.x(index) - at) < Math.abs(this.x(best) - at)) best = index; });
    this.read(this.points[best].number);
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -MOST, End: MOST };
    if (event.key === "Escape") return this.read(null);
    if (!(event.key in moves) || !this.points.length) return;
    event.preventDefault();
    const now = this.points.findIndex((one) => one.number === this.cursor), from = now < 0 ? this.points.length - (event.key === "ArrowLeft" ? 0 : 1) : now;
    this.read(this.points[Math.min(Math.max(from + moves[event.key], 0), this.points.length - 1)].number);
  }

  read(cursor) { this.cursor = cursor; this.draw(); this.say(); }

  say() {
    const one = this.cursor === null ? null : this.points.find((point) => point.number === this.cursor);
    const words = one ? `${number(one.score)} ${one.verdict} · frame ${one.frame_id} · ${clock(one.captured_at)}` : this.points.length ? `the last ${this.points.length}` : "";
    this.reading.setAttribute("aria-live", one ? "polite" : "off");
    say(this.reading, words);
    this.beyond.hidden = !this.points.some((point) => point.score > this.end);
    const rejected = this.points.filter((point) => point.verdict === "reject").length;
    this.svg.setAttribute("aria-label", `Scores of the last ${this.points.length} parts, ${rejected} rejected`);
  }
}

function ticks(low, high) {
  const rough = (high - low) / 4, magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * magnitude).find((one) => one >= rough), found = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) found.push(index * step);
  return found;
}

function make(name, attributes, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
