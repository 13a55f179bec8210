// The page's heart: asks for the state twice a second, and says so when no answer comes.
// Asking anew each time outlives restarts, sleeping tablets and proxies, and leaves nothing open behind.
import { byId, clock, count, duration, number, say, size } from "/words.js";
import { Timeline } from "/timeline.js";
import { LiveView } from "/live.js";
import { Gallery } from "/gallery.js";
import { Area, Limits, Unlock } from "/edits.js";

const PERIOD = 500; // ms
const CUT = 2500; // ms without an answer after which the page is not live
const STAGES = { capture: "Capture", prepare: "Prepare", wait: "Wait", infer: "Infer", judge: "Judge", sinks: "Sinks", total: "Total" };

const timeline = new Timeline(byId("timeline"), byId("reading"));
const live = new LiveView();
const gallery = new Gallery();
const limits = new Limits(refresh);
const areas = [
  new Area(live, refresh, "roi", { title: "Area looked at", none: "The whole picture.", draw: "Draw an area", change: "Change the area", whole: "Whole picture" }),
  new Area(live, refresh, "ignore", { title: "Area ignored", none: "Nothing.", draw: "Draw an area to ignore", change: "Change the area", whole: "Ignore nothing" }),
];
const unlock = new Unlock(refresh);

let camera = 0, run = "", after = 0, version = "", answered = performance.now(), reached = false, latest = null, timer = 0, asking = false;

async function refresh() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  const asked = camera;
  try {
    const answer = await fetch(`/api/state?camera=${asked}&run=${run}&after=${after}`, { signal: AbortSignal.timeout(4000) });
    if (answer.status === 401) return void location.assign("/login");
    if (answer.status === 404 && camera) camera = 0; // a new run with fewer cameras
    if (answer.ok) {
      const state = await answer.json();
      if (asked === camera) take(state);
    }
  } catch { /* `watch` shows it */ } finally {
    asking = false;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, PERIOD);
  }
}

function take(state) {
  answered = performance.now();
  reached = true;
  if (version && version !== state.version) return void location.reload(); // the server was updated
  version = state.version;
  if (run !== state.run) { after = 0; timeline.clear(); live.forget(); gallery.clear(); }
  run = state.run;
  latest = state;
  timeline.add(state.points, state.settings.limits);
  if (state.points.length) after = state.points.at(-1).number;
  showTop(state);
  showNumbers(state);
  showStages(state.cameras[camera].stages);
  showHealth(state);
  showEvents(state);
  gallery.show(state.rejects);
  limits.show(state);
  for (const area of areas) area.show(state);
  unlock.show(state);
  live.show({ camera, ...state.cameras[camera] });
  watch();
}

// Whether what the page shows is true now.
function watch() {
  const silence = performance.now() - answered;
  const one = latest?.cameras[camera];
  let kind = "live", words = "Live", curtain = null;
  if (document.hidden) { // nothing is asked: on coming back the last picture is old
    kind = "none"; words = "Paused"; curtain = ["Paused", "Nobody was looking."];
  } else if (silence > CUT || !one) {
    kind = reached ? "cut" : silence > CUT ? "cut" : "none";
    words = kind === "cut" ? "Not connected" : "Connecting";
    curtain = kind === "cut" ? [`Not connected for ${duration(silence / 1000)}`, "The inspection may be running. This picture is old."] : ["Connecting", ""];
  } else if (one.state === "waiting") {
    kind = "none"; words = "Waiting"; curtain = ["Waiting for the first picture", ""];
  } else if (one.state === "stale") {
    const age = one.age + silence / 1000;
    kind = "stale"; words = "Silent"; curtain = [`No picture for ${duration(age)}`, "The camera is silent or the line stands still. This picture is old."];
  } else if (live.late) {
    kind = "stale"; words = "Picture late"; curtain = ["The picture does not come through", "Verdicts are made, but this picture is old."];
  }
  const pill = byId("status");
  if (pill.className !== `pill ${kind}`) pill.className = `pill ${kind}`;
  say(pill.lastChild, words);
  live.cover(curtain);
  document.title = `${kind === "live" ? "" : `${words} – `}${latest?.title ?? "Inspection"}`;
}

function showTop(state) {
  byId("title").textContent = state.title;
  byId("logout").hidden = !state.private && !state.editor;
  const nav = byId("cameras"), names = state.cameras.map((one) => one.name), shown = JSON.stringify(names);
  nav.hidden = names.length < 2;
  if (nav.dataset.shown !== shown) nav.replaceChildren(...names.map((name, index) => Object.assign(document.createElement("button"), { textContent: name, onclick: () => choose(index) })));
  nav.dataset.shown = shown;
  showChosen();
}

function choose(index) {
  camera = index; after = 0;
  timeline.clear(); live.forget();
  showChosen();
  refresh();
}

function showChosen() {
  for (const [index, button] of [...byId("cameras").children].entries()) button.setAttribute("aria-pressed", String(index === camera));
}

function showNumbers(state) {
  const one = state.cameras[camera], total = one.stages.total;
  const shown = {
    judged: count(one.judged), rate: one.rate.toFixed(1), accept: count(one.verdicts.accept), warn: count(one.verdicts.warn), reject: count(one.verdicts.reject),
    share: one.judged ? `${(100 * one.verdicts.reject / one.judged).toFixed(2)} %` : "–", lost: count(one.lost), latency: total ? `${number(total.p95, 3)} ms` : "–",
  };
  for (const [id, text] of Object.entries(shown)) byId(id).textContent = text;
}

function showStages(stages) {
  const body = byId("stages").tBodies[0], known = Object.keys(STAGES).filter((name) => stages[name]);
  // Capture holds the wait for the camera, which is no cost: it may run out of the drawing.
  const longest = Math.max(...known.filter((name) => name !== "capture").map((name) => stages[name].p95), 1e-9);
  while (body.rows.length > known.length) body.deleteRow(-1);
  known.forEach((name, index) => {
    const row = body.rows[index] ?? body.appendChild(stageRow()), { p50, p95, p99 } = stages[name];
    row.className = name === "total" ? "total" : "";
    row.cells[0].textContent = STAGES[name];
    const [, reach, bar] = row.querySelectorAll("rect");
    reach.setAttribute("width", Math.min(100, 100 * p95 / longest));
    bar.setAttribute("width", Math.min(100, 100 * p50 / longest));
    [p50, p95, p99].forEach((value, place) => { row.cells[place + 2].textContent = number(value, 3); });
  });
}

function stageRow() {
  const row = document.createElement("tr"), head = document.createElement("th");
  head.scope = "row"; head.className = "text";
  row.append(head);
  for (let place = 0; place < 4; place += 1) row.insertCell();
  row.cells[1].className = "drawn";
  row.cells[1].innerHTML = '<svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="12"/><rect class="reach" height="12"/><rect class="bar" height="12"/></svg>';
  return row;
}

function showHealth(state) {
  const needs = []; // what is read out: the list changes twice a second
  const lines = state.cameras.map((one, index) => {
    const name = one.name || (state.cameras.length > 1 ? `Camera ${index + 1}` : "Camera");
    if (one.state === "stale") needs.push(`${name} is silent`);
    const words = { waiting: "no picture yet", live: `${one.rate.toFixed(1)} per second`, stale: `silent for ${duration(one.age ?? 0)}` }[one.state];
    const more = [words, `${count(one.lost)} lost`, ...(state.dropped === null ? [] : [`${count(state.dropped)} dropped`])];
    return [{ live: "good", stale: "bad", waiting: "" }[one.state], name, more.join(", ")];
  });
  for (const file of state.files) {
    if (file.free === null || file.low) needs.push(`${file.name} has ${file.low ? "little room" : "no folder"}`);
    const free = file.free === null ? "its folder cannot be read" : `${size(file.free)} free`;
    const words = file.bytes === null ? "nothing written yet" : `${size(file.bytes)}, last written ${duration(file.age)} ago`;
    lines.push([file.free === null ? "bad" : file.low ? "low" : file.bytes === null ? "" : "good", file.name, `${words}, ${free}`]);
  }
  for (const [sink, trouble] of Object.entries(state.troubles)) {
    needs.push(`${sink} takes no records`);
    lines.push(["bad", sink, trouble]);
  }
  if (state.spooled > 0) lines.push(["low", "Waiting", `${count(state.spooled)} records for sinks that do not have them yet`]);
  if (state.writing !== null) lines.push(["good", "Writing", `${number(state.writing, 3)} ms for a record (p95)`]);
  list(byId("health"), lines, "");
  say(byId("health-words"), needs.join(", "));
}

function showEvents(state) {
  const changes = state.settings.changes.map((one) => [one.at, "", one.what, `${clock(one.at)}, changed by ${one.client}`]);
  const faults = state.faults.map((one) => [one.at, "bad", `Frame ${one.frame_id} was lost`, `${clock(one.at)}, ${one.reason}`]);
  const all = [...changes, ...faults].sort((one, other) => other[0] - one[0]).map(([, ...rest]) => rest);
  list(byId("events"), all, "No frame was lost, nothing was changed.");
}

function list(element, lines, nothing) {
  const text = JSON.stringify(lines);
  if (element.dataset.shown === text) return; // leaves its scroll position, and what a screen reader reads
  element.dataset.shown = text;
  element.replaceChildren(...lines.map(([kind, name, words]) => {
    const item = document.createElement("li"), dot = document.createElement("i"), box = document.createElement("div");
    dot.className = kind;
    box.append(Object.assign(document.createElement("b"), { textContent: name }), Object.assign(document.createElement("small"), { textContent: words }));
    item.append(dot, box);
    return item;
  }));
  if (!lines.length) element.append(Object.assign(document.createElement("li"), { className: "plain", textContent: nothing }));
}

byId("logout").onclick = async () => {
  await fetch("/logout", { method: "POST" }).catch(() => {});
  location.assign(latest?.private ? "/login" : "/");
};
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { clearTimeout(timer); return watch(); }
  answered = performance.now(); // nothing was asked meanwhile
  refresh();
});
setInterval(watch, 250);
refresh();
