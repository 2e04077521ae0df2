// Curves over time, drawn as SVG: areas and lines, bands where the service was not normal, a cross-hair that follows the
// pointer or the arrow keys. It knows rows of numbers, not what they mean.

const SVG = "http://www.w3.org/2000/svg";
const narrowest = 36; // of the room for the numbers on the left

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Up to `most` round steps from 0 to at least `top`. */
function linearTicks(top, most = 4) {
  const power = 10 ** Math.floor(Math.log10(top / most));
  const step = Math.max(1, [1, 2, 5, 10].map((each) => each * power).find((each) => top / each <= most));
  const ticks = [];
  for (let at = 0; at < top + step * 0.999; at += step) ticks.push(at);
  return ticks;
}

/** Powers of ten around [bottom, top]. */
function logTicks(bottom, top) {
  const first = Math.floor(Math.log10(bottom));
  const last = Math.max(first + 1, Math.ceil(Math.log10(top)));
  return Array.from({length: last - first + 1}, (_, at) => 10 ** (first + at));
}

class Chart {
  /** series: [{key, label, look: "s1", area: true}]; format(value) for people; log: whether the scale is. */
  constructor({title, series, format, log = false, least = 1}) {
    Object.assign(this, {title, series, format, log, least, rows: [], from: 0, to: 1, shown: null, gutter: narrowest});
    this.legend = el("div.legend");
    this.values = series.map(({label, look}) => {
      const value = el("b");
      this.legend.append(el("span." + look, null, el("i"), label, value));
      return value;
    });
    this.svg = shape("svg", {role: "img", tabindex: "0"});
    this.node = el("div.chart", null, el("h3", null, title), this.legend, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.pointAt(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  /** rows: [{at, mode, …}], the oldest first; at in seconds. */
  update(rows, from, to) {
    Object.assign(this, {rows: rows.filter((row) => row.at >= from - 6), from, to});
    if (this.shown !== null && this.shown >= this.rows.length) this.shown = null;
    this.draw();
  }

  x(at) { return this.gutter + ((at - this.from) / (this.to - this.from)) * (this.width - this.gutter - 4); }

  scale() {
    const values = this.rows.flatMap((row) => this.series.map(({key}) => row[key])).filter((value) => value !== null && value !== undefined);
    if (this.log) {
      const positive = values.filter((value) => value > 0);
      const ticks = logTicks(Math.min(...positive, this.least), Math.max(...positive, this.least * 10));
      const [low, high] = [Math.log10(ticks[0]), Math.log10(ticks[ticks.length - 1])];
      return {ticks, y: (value) => this.bottom - ((Math.log10(Math.max(value, ticks[0])) - low) / (high - low)) * (this.bottom - 8)};
    }
    const ticks = linearTicks(Math.max(...values, this.least));
    return {ticks, y: (value) => this.bottom - (value / ticks[ticks.length - 1]) * (this.bottom - 8)};
  }

  draw() {
    const box = this.svg.getBoundingClientRect();
    if (box.width < 60) return;
    this.width = box.width;
    this.height = box.height;
    this.bottom = this.height - 20;
    const {ticks, y} = this.scale();
    const names = ticks.map((tick) => this.format(tick).replace(/\.0\b/, ""));
    this.gutter = Math.max(narrowest, 10 + 6.2 * Math.max(...names.map((name) => name.length))); // 11 px, digits mostly
    const parts = [...this.bands()];
    for (const [at, tick] of ticks.entries()) {
      parts.push(shape("line", {class: "grid", x1: this.gutter, x2: this.width, y1: y(tick), y2: y(tick)}));
      parts.push(shape("text", {x: this.gutter - 6, y: y(tick) + 4, "text-anchor": "end"}, names[at]));
    }
    parts.push(...this.times());
    this.series.forEach((one) => parts.push(...this.curve(one, y)));
    parts.push(...this.cross(y));
    this.svg.replaceChildren(...parts);
    this.tell();
  }

  *bands() {
    for (let at = 0; at < this.rows.length; at += 1) {
      const {mode} = this.rows[at];
      if (!mode || mode === "normal") continue;
      const begin = at ? this.rows[at - 1].at : this.rows[at].at - 5;
      const left = Math.max(this.x(begin), this.gutter);
      yield shape("rect", {class: `band ${mode}`, x: left, y: 8, width: Math.max(2, this.x(this.rows[at].at) - left), height: this.bottom - 8});
    }
  }

  *times() {
    const minutes = (this.to - this.from) / 60;
    const step = (minutes <= 6 ? 1 : minutes <= 20 ? 5 : 15) * 60;
    for (let at = Math.ceil(this.from / step) * step; at < this.to; at += step) {
      const x = this.x(at);
      if (x > 50 && x < this.width - 14)
        yield shape("text", {x, y: this.height - 5, "text-anchor": "middle"}, hourAndMinute(new Date(at * 1000)));
    }
  }

  /** One path per stretch without a gap. */
  *curve({key, look, area}, y) {
    const stretches = [];
    let last = null;
    for (const row of this.rows) {
      const value = row[key];
      if (value === null || value === undefined) { last = null; continue; }
      if (!last || row.at - last > 30) stretches.push([]);
      stretches[stretches.length - 1].push([Math.max(this.x(row.at), this.gutter), y(value)]);
      last = row.at;
    }
    for (const points of stretches) {
      const path = points.map(([x, height], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${height.toFixed(1)}`).join("");
      if (points.length === 1) { yield shape("path", {class: `curve ${look}`, d: `${path}h0.5`}); continue; }
      if (area) yield shape("path", {class: `area ${look}`, d: `${path}L${points[points.length - 1][0].toFixed(1)} ${this.bottom}L${points[0][0].toFixed(1)} ${this.bottom}Z`});
      yield shape("path", {class: `curve ${look}`, d: path});
    }
  }

  *cross(y) {
    const row = this.shown === null ? null : this.rows[this.shown];
    if (!row) return;
    yield shape("line", {class: "cross", x1: this.x(row.at), x2: this.x(row.at), y1: 8, y2: this.bottom});
    for (const {key, look} of this.series)
      if (row[key] !== null && row[key] !== undefined) yield shape("circle", {class: `dot ${look}`, cx: this.x(row.at), cy: y(row[key]), r: 3.5});
  }

  /** The legend shows the values under the cross-hair, else the newest. */
  tell() {
    const row = this.rows[this.shown ?? this.rows.length - 1];
    this.series.forEach(({key}, at) => say(this.values[at], row ? this.format(row[key]) : "–"));
    const what = this.series.map(({label, key}) => `${label} ${row ? this.format(row[key]) : "unknown"}`).join(", ");
    const when = row ? clock(new Date(row.at * 1000)) : "nothing yet";
    this.svg.setAttribute("aria-label", `${this.title} at ${when}: ${what}. Arrow keys move through time.`);
    this.svg.dataset.points = this.rows.length;
  }

  point(at) {
    if (at === this.shown) return;
    this.shown = at;
    this.draw();
  }

  pointAt(x) {
    if (!this.rows.length) return;
    const at = this.from + ((x - this.gutter) / (this.width - this.gutter - 4)) * (this.to - this.from);
    let best = 0;
    this.rows.forEach((row, index) => { if (Math.abs(row.at - at) < Math.abs(this.rows[best].at - at)) best = index; });
    this.point(best);
  }

  step(event) {
    const by = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity}[event.key];
    if (by === undefined || !this.rows.length) return;
    event.preventDefault();
    const last = this.rows.length - 1;
    this.point(Math.max(0, Math.min(last, (this.shown ?? last) + by)));
  }
}
