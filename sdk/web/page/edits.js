// What can be changed: thresholds, the area, and the token that allows it.
import { byId, number } from "/words.js";

const NS = "http://www.w3.org/2000/svg";

// Sends a change; answers with what is wrong, or with nothing.
async function put(path, body) {
  try {
    const answer = await fetch(path, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (answer.ok) return "";
    const problem = await answer.json().catch(() => ({ what: "The server failed", todo: "its log says why" }));
    return problem.todo ? `${problem.what}: ${problem.todo}` : problem.what;
  } catch { return "No connection: nothing was changed"; }
}

export class Limits {
  constructor(refresh) {
    this.form = byId("limits"); this.warn = byId("limit-warn"); this.reject = byId("limit-reject");
    this.apply = byId("limits-apply"); this.reset = byId("limits-reset"); this.problem = byId("limits-problem");
    this.now = null; this.sent = false;
    this.form.oninput = () => { this.problem.textContent = ""; this.mark(); };
    this.reset.onclick = () => { this.fill(); this.problem.textContent = ""; this.mark(); this.warn.focus(); };
    this.form.onsubmit = async (event) => {
      event.preventDefault();
      const typed = (field, now) => (field.value === field.dataset.was ? now : Number(field.value.trim().replace(",", ".") || NaN));
      const warn = typed(this.warn, this.now.warn), reject = typed(this.reject, this.now.reject); // fields show six digits
      if (!Number.isFinite(warn) || !Number.isFinite(reject)) { this.problem.textContent = "Give two numbers."; return; }
      this.problem.textContent = await put("/api/thresholds", { reject, warn });
      if (!this.problem.textContent) { this.now = { reject, warn }; this.fill(); this.mark(); }
      refresh();
    };
  }

  get changed() { return this.now !== null && (this.warn.value !== this.warn.dataset.was || this.reject.value !== this.reject.dataset.was); }

  show({ settings, editor }) {
    this.form.hidden = settings.limits === null;
    if (settings.limits === null) return;
    const open = editor && settings.limits_editable, untouched = !this.changed;
    this.now = settings.limits;
    if (untouched) this.fill();
    this.warn.disabled = this.reject.disabled = !open;
    this.apply.hidden = this.reset.hidden = !open;
    byId("limits-note").textContent = settings.limits_editable ? (open ? settings.note : "") : "They are set where the run is started.";
    this.mark();
  }

  fill() {
    for (const [field, value] of [[this.warn, this.now.warn], [this.reject, this.now.reject]]) {
      const text = number(value, 6);
      if (field.value !== text) field.value = text;
      field.dataset.was = text;
    }
  }

  mark() { this.apply.disabled = this.reset.disabled = !this.changed; }
}

export class Unlock {
  constructor(refresh) {
    byId("unlock").onsubmit = async (event) => {
      event.preventDefault();
      const problem = byId("unlock-problem"), token = byId("token");
      try {
        const answer = await fetch("/login", { method: "POST", headers: { accept: "application/json" }, body: new URLSearchParams({ token: token.value }) });
        const refused = answer.ok ? null : await answer.json();
        problem.textContent = refused ? `${refused.what}: ${refused.todo}` : "";
        if (!refused) token.value = "";
      } catch { problem.textContent = "No connection"; }
      refresh();
    };
  }

  show({ settings, editor }) { byId("unlock").hidden = editor || !(settings.limits_editable || settings.roi_editable || settings.ignore_editable); }
}

// A polygon on the picture and its card: `roi`, what is looked at, or `ignore`, what is not. Only one is drawn at a time.
export class Area {
  static drawing = null;

  constructor(live, refresh, kind, words) {
    this.kind = kind; this.words = words; this.card = this.makeCard(); this.part = (name) => byId(`${kind}-${name}`);
    this.svg = byId("area"); this.group = this.svg.appendChild(make("g", { class: kind }));
    this.frame = live.frame; this.list = this.part("corners"); this.problem = this.part("problem");
    this.saved = null; this.corners = null; this.held = -1; this.most = 100;
    this.part("edit").onclick = () => this.start();
    this.part("whole").onclick = async () => { this.problem.textContent = await put(`/api/${kind}`, { points: null }); refresh(); };
    this.add = this.part("add");
    this.add.onclick = () => { this.insert(); this.list.lastElementChild?.querySelector("input").focus(); };
    this.part("clear").onclick = () => { this.corners = []; this.rows(); this.draw(); };
    this.part("cancel").onclick = () => this.stop();
    this.card.onsubmit = async (event) => {
      event.preventDefault();
      if (!this.corners) return;
      this.problem.textContent = this.corners.length < 3 ? "Give at least 3 corners." : await put(`/api/${kind}`, { points: this.corners });
      if (!this.problem.textContent) { this.saved = this.corners; this.stop(); }
      refresh();
    };
    this.svg.addEventListener("pointerdown", (event) => this.down(event));
    this.svg.addEventListener("pointermove", (event) => { if (this.held >= 0) this.move(this.held, this.place(event)); });
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, () => { this.held = -1; });
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  makeCard() {
    const template = byId("area-card"), card = template.content.firstElementChild.cloneNode(true);
    card.id = this.kind;
    card.querySelector("h2").textContent = this.words.title;
    card.querySelector("[data-part=whole]").textContent = this.words.whole;
    for (const part of card.querySelectorAll("[data-part]")) part.id = `${this.kind}-${part.dataset.part}`;
    template.before(card);
    return card;
  }

  show({ settings, editor }) {
    const editable = settings[`${this.kind}_editable`], open = editor && editable;
    this.saved = settings[this.kind]; this.most = settings.most_corners;
    this.card.hidden = !editable && this.saved === null;
    if (!open && this.corners) this.stop();
    this.part("words").textContent = this.saved ? `A polygon with ${this.saved.length} corners.` : this.words.none;
    this.part("words").hidden = Boolean(this.corners);
    this.part("start").hidden = !open || Boolean(this.corners);
    this.part("edit").textContent = this.saved ? this.words.change : this.words.draw;
    this.part("whole").hidden = !this.saved;
    if (!this.corners) this.draw();
  }

  start() {
    Area.drawing?.stop();
    Area.drawing = this;
    this.corners = (this.saved ?? []).map((corner) => [...corner]);
    this.editing(true);
    this.add.focus();
    this.frame.closest("section").scrollIntoView();
  }

  get editor() { return this.part("editor"); }

  stop() {
    if (Area.drawing === this) Area.drawing = null;
    this.corners = null; this.held = -1; this.problem.textContent = "";
    this.editing(false);
    this.part("edit").focus();
  }

  editing(on) {
    this.editor.hidden = !on; this.part("start").hidden = on; this.part("words").hidden = on;
    this.svg.classList.toggle("editing", on);
    this.rows(); this.draw();
  }

  place(event) {
    const box = this.svg.getBoundingClientRect(), clip = (value) => Math.round(Math.min(Math.max(value, 0), 1) * 1e4) / 1e4;
    return [clip((event.clientX - box.left) / box.width), clip((event.clientY - box.top) / box.height)];
  }

  down(event) {
    if (!this.corners) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    const hit = event.target.dataset?.corner;
    if (hit !== undefined) { this.held = Number(hit); return; }
    if (this.corners.length >= this.most) return;
    this.corners.push(this.place(event));
    this.held = this.corners.length - 1;
    this.rows(); this.draw();
  }

  move(index, corner) {
    this.corners[index] = corner;
    const fields = this.list.children[index].querySelectorAll("input");
    corner.forEach((value, axis) => { fields[axis].value = percent(value); });
    this.draw();
  }

  // A new corner half way between the last and the first, where that is no corner yet.
  insert() {
    if (this.corners.length >= this.most) return;
    const start = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]], first = this.corners[0], last = this.corners.at(-1);
    this.corners.push(this.corners.length < 3 ? start[this.corners.length] : [(first[0] + last[0]) / 2, (first[1] + last[1]) / 2]);
    this.rows(); this.draw();
  }

  rows() {
    this.list.replaceChildren(...(this.corners ?? []).map((corner, index) => {
      const item = document.createElement("li"), away = document.createElement("button");
      item.append(Object.assign(document.createElement("span"), { textContent: String(index + 1), className: "soft" }));
      corner.forEach((value, axis) => {
        const field = Object.assign(document.createElement("input"), { value: percent(value), inputMode: "decimal", autocomplete: "off" });
        field.setAttribute("aria-label", `Corner ${index + 1}, ${axis ? "down" : "across"} in percent`);
        field.oninput = () => {
          const typed = Number(field.value.replace(",", ".") || NaN) / 100;
          if (typed >= 0 && typed <= 1) { this.corners[index][axis] = typed; this.draw(); }
          field.setAttribute("aria-invalid", String(!(typed >= 0 && typed <= 1)));
        };
        item.append(field);
      });
      away.type = "button"; away.textContent = "✕";
      away.setAttribute("aria-label", `Remove corner ${index + 1}`);
      away.onclick = () => { this.corners.splice(index, 1); this.rows(); this.draw(); ((this.list.children[index] ?? this.list.lastElementChild)?.querySelector("button") ?? this.add).focus(); };
      item.append(away);
      return item;
    }));
    this.list.scrollTop = this.list.scrollHeight;
  }

  draw() {
    const wide = this.frame.clientWidth, high = this.frame.clientHeight, corners = this.corners ?? this.saved ?? [];
    this.svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    const pixels = corners.map(([x, y]) => [x * wide, y * high]), outline = `M${pixels.map((one) => one.join(" ")).join("L")}Z`, parts = [];
    const around = this.kind === "roi" ? `M0 0H${wide}V${high}H0Z` : ""; // what is not looked at is dark
    if (pixels.length > 2) parts.push(make("path", { class: "shade", "fill-rule": "evenodd", d: around + outline }));
    if (pixels.length > 1) parts.push(make("path", { class: "line", d: outline }), make("path", { class: "inner", d: outline }));
    if (this.corners) for (const [index, [x, y]] of pixels.entries()) parts.push(make("circle", { class: "corner", cx: x, cy: y, r: 8 }), make("circle", { class: "touch", cx: x, cy: y, r: 22, "data-corner": index }));
    this.group.replaceChildren(...parts);
  }
}

const percent = (share) => String(Number((share * 100).toFixed(2)));

function make(name, attributes) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
