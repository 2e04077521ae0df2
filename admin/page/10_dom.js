// Elements, lists that keep their elements, and numbers for people.
// Values go in as text nodes and attributes, never as markup: names of applications and databases are hostile.

const $ = (id) => document.getElementById(id);

/** el("div.card", {title: "…"}, "text", child, …): an element. Attributes that are null or false are left out. */
function el(spec, attributes, ...children) {
  const [tag, ...classes] = spec.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Changes the text only if it differs, so that readers and selections are left alone. */
function say(node, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

function replace(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

/**
 * One element per item, kept from one call to the next by its key: what has the focus keeps it.
 * `make(item)` returns {node, update(item)}.
 */
function keep(container, items, key, make) {
  const known = container.kept || (container.kept = new Map());
  const wanted = new Map(items.map((item) => [key(item), item]));
  for (const [name, {node}] of known)
    if (!wanted.has(name)) { node.remove(); known.delete(name); }
  let at = container.firstChild;
  for (const [name, item] of wanted) {
    if (!known.has(name)) known.set(name, make(item));
    const {node, update} = known.get(name);
    update(item);
    if (node === at) at = at.nextSibling;
    else container.insertBefore(node, at);
  }
  while (at) { const next = at.nextSibling; if (!at.stays) at.remove(); at = next; } // what told that there was nothing
}

const badge = (text, tone) => el("span.badge" + (tone ? "." + tone : ""), null, text);

// ---- numbers ------------------------------------------------------------------------------------------------------

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});

const count = (value) => (value === null || value === undefined ? "–" : value >= 100000 ? compact.format(value) : whole.format(value));
const rate = (value) => (value === null || value === undefined ? "–" : value > 0 && value < 9.95 ? value.toFixed(1) : count(value));
const plural = (number, one, many = one + "s") => `${count(number)} ${number === 1 ? one : many}`;

/** Milliseconds as [number, unit]. */
function span(ms) {
  if (ms === null || ms === undefined) return ["–", ""];
  if (ms < 0.0995) return [String(Math.round(ms * 1000)), "µs"];
  if (ms < 9.95) return [ms.toFixed(ms < 0.995 ? 2 : 1), "ms"];
  if (ms < 999.5) return [ms.toFixed(0), "ms"];
  if (ms < 59950) return [(ms / 1000).toFixed(ms < 9950 ? 1 : 0), "s"];
  if (ms < 3570000) return [(ms / 60000).toFixed(ms < 600000 ? 1 : 0), "min"];
  if (ms < 172000000) return [(ms / 3600000).toFixed(1), "h"];
  return [(ms / 86400000).toFixed(0), "d"];
}
const duration = (ms) => span(ms).join(" ").trim();
const seconds = (value) => duration(value === null || value === undefined ? value : value * 1000);

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${value >= 100 || at === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
}

const clock = (date) => date.toLocaleTimeString("en-GB");
const hourAndMinute = (date) => date.toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit"});

/** A moment for people: the time today, with the day otherwise. */
function moment(text) {
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock(date) : `${date.toLocaleDateString("en-GB", {day: "numeric", month: "short"})} ${clock(date)}`;
}

const words = (name) => { const text = String(name).replaceAll("_", " "); return text.charAt(0).toUpperCase() + text.slice(1); };
