// Numbers and times as people read them.
export const byId = (id) => document.getElementById(id);
// A screen reader reads out whatever is written anew, even if it is the same.
export function say(element, words) { if (element.textContent !== words) element.textContent = words; }

export const count = (value) => value.toLocaleString("en-US");

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? Number(value.toPrecision(digits)).toExponential() : String(Number(value.toPrecision(digits)));
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} days`;
}

export function size(bytes) {
  for (const [unit, least] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (bytes >= least) return `${(bytes / least).toPrecision(3)}\u00a0${unit}`;
  return `${bytes} B`;
}

// A camera's name without its options; of an image's path the file's name.
export const shortName = (source) => (/^[^:]*\.[a-z]{3,4}$/i.test(source) ? source.split("/").at(-1) : source.split("?")[0]);
