// The latest rejects, and one of them large.
import { byId, clock, count, number, shortName } from "/words.js";

export class Gallery {
  constructor() {
    this.list = byId("gallery"); this.zoom = byId("zoom");
    this.items = new Map(); this.rejects = []; this.open = null;
    byId("zoom-close").onclick = () => this.zoom.close();
    byId("zoom-newer").onclick = () => this.turn(-1);
    byId("zoom-older").onclick = () => this.turn(1);
    this.zoom.addEventListener("click", (event) => { if (event.target === this.zoom) this.zoom.close(); });
    this.zoom.addEventListener("keydown", (event) => { if (event.key === "ArrowLeft") this.turn(-1); if (event.key === "ArrowRight") this.turn(1); });
    this.zoom.addEventListener("close", () => { this.items.get(this.open)?.querySelector("button").focus(); this.open = null; });
  }

  clear() { this.items.clear(); this.list.replaceChildren(); this.rejects = []; if (this.zoom.open) this.zoom.close(); }

  show(rejects) {
    this.rejects = rejects;
    const wanted = new Set(rejects.map((one) => one.number));
    for (const [key, item] of this.items) if (!wanted.has(key)) { item.remove(); this.items.delete(key); }
    for (const one of [...rejects].reverse()) { // oldest first, each before those that are there: focus stays where it is
      let item = this.items.get(one.number);
      if (item?.dataset.picture === one.picture) continue;
      const fresh = this.item(one);
      if (item) item.replaceWith(fresh); else this.list.prepend(fresh);
      this.items.set(one.number, fresh);
    }
    if (!rejects.length && !this.list.childElementCount) this.list.append(Object.assign(document.createElement("li"), { className: "none", textContent: "No part was rejected." }));
    if (rejects.length) this.list.querySelector(".none")?.remove();
    byId("rejects-words").textContent = rejects.length ? `${rejects.length} of ${count(rejects[0].number)}` : "";
    this.fill();
  }

  item(one) {
    const item = document.createElement("li"), button = document.createElement("button"), words = document.createElement("span");
    item.dataset.picture = one.picture;
    if (one.picture === "made") button.append(Object.assign(document.createElement("img"), { className: "thumb", src: this.source(one), alt: "", loading: "lazy" }));
    else button.append(Object.assign(document.createElement("div"), { className: "thumb missing", textContent: one.picture === "waiting" ? "picture is being made" : "too many at once: no picture" }));
    words.append(Object.assign(document.createElement("b"), { textContent: number(one.score) }), ` · ${clock(one.captured_at)}`, ...[this.place(one), shortName(one.source)].map((textContent) => Object.assign(document.createElement("small"), { textContent })));
    button.append(words);
    button.setAttribute("aria-label", `Reject ${one.number}, score ${number(one.score)}, ${clock(one.captured_at)}`);
    button.onclick = () => { this.open = one.number; this.fill(); this.zoom.showModal(); };
    item.append(button);
    return item;
  }

  turn(step) {
    const next = this.rejects[this.rejects.findIndex((one) => one.number === this.open) + step];
    if (next) { this.open = next.number; this.fill(); }
  }

  fill() {
    const place = this.rejects.findIndex((one) => one.number === this.open), one = this.rejects[place];
    if (!one) return;
    const picture = byId("zoom-picture"), source = one.picture === "made" ? this.source(one) : "/icon.svg";
    if (!picture.src.endsWith(source)) picture.src = source;
    picture.alt = one.picture === "made" ? `The rejected part, ${one.regions} places marked` : "There is no picture of this reject";
    byId("zoom-title").textContent = `Reject ${one.number}, score ${number(one.score)}`;
    byId("zoom-words").textContent = `${this.place(one)}, ${shortName(one.source)}, ${one.regions === 1 ? "1 place" : `${one.regions} places`} marked, ${new Date(one.captured_at * 1000).toLocaleString("en-GB")}`;
    byId("zoom-newer").disabled = place <= 0;
    byId("zoom-older").disabled = place >= this.rejects.length - 1;
  }

  source(one) { return `/rejects/${one.number}.jpg`; }

  place(one) { return `${one.part === null ? "" : `part ${one.part}, `}frame ${one.frame_id}`; }
}
