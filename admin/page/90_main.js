// What the page knows, and when it draws: whatever arrives changes `state`, and the next frame of the screen draws it.

const state = {all: null, rows: [], events: [], link: "connecting", range: Number(sessionStorage.getItem("pgsteady.minutes")) || 15};

const charts = [
  new Chart({title: "Requests per second", format: rate, series: [{key: "per_second", label: "requests", look: "s1", area: true}, {key: "errors_per_second", label: "errors", look: "s3"}]}),
  new Chart({title: "Latency", format: duration, log: true, least: 1,
             series: [{key: "p50_ms", label: "p50", look: "s1"}, {key: "p95_ms", label: "p95", look: "s4"}, {key: "p99_ms", label: "p99", look: "s2"}]}),
  new Chart({title: "Connections", format: count, series: [{key: "clients", label: "clients", look: "s4"}, {key: "active", label: "servers at work", look: "s1", area: true}, {key: "waiting", label: "waiting", look: "s3"}]}),
];

/** Columns as the document has them, as rows. */
function rowsOf(moments) {
  const names = Object.keys(moments);
  return moments.at.map((_, at) => Object.fromEntries(names.map((name) => [name, moments[name][at]])));
}

function drawCharts() {
  const current = state.all.timeline.current;
  const rows = current && current.seconds >= 0.9 ? [...state.rows, current] : state.rows;
  const to = current ? current.at : Date.now() / 1000;
  for (const chart of charts) chart.update(rows, to - state.range * 60, to);
}

/** The second that goes on, or the last five of them while it is too young to say anything. */
function newest() {
  const {current} = state.all.timeline;
  return current.seconds >= 0.9 || !state.rows.length ? current : state.rows[state.rows.length - 1];
}

function drawNow() {
  const {all} = state;
  if (!all) return;
  drawHero(all);
  drawFlow(all, newest());
  drawAlerts(all.alerts);
  drawTiles(all, newest());
  drawCharts();
  drawPools(all.connections);
  drawRecoveries(all.recoveries);
  drawStatements(all.metrics);
  drawEvents(state.events);
  document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1);
}

let due = false;
function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; drawNow(); });
}

const links = {connecting: "Connecting", live: "Live", polling: "Every 2 s", unreachable: "No answer", locked: "Token needed"};

function showLink(name) {
  if (state.link === name && name !== "unreachable") return;
  if (state.link !== "unreachable" && name === "unreachable") state.since = new Date();
  state.link = name;
  $("link").dataset.state = name;
  say($("link-text"), links[name]);
  const gone = name === "unreachable";
  $("main").classList.toggle("stale", gone);
  $("unreachable").hidden = !gone;
  if (gone) say($("unreachable"), `The proxy has not answered since ${clock(state.since)}. What is shown is older than that. This page goes on trying.`);
  if (gone) document.title = "No answer – pgsteady";
  if (name === "locked") dialog.unlock("Reading needs a token here: admin.read_token, or admin.operate_token for commands too.");
}

const live = new Live({
  dashboard(whole) {
    state.all = whole;
    state.rows = rowsOf(whole.timeline.moments);
    state.events = whole.events;
    draw();
  },
  snapshot(part) {
    state.all = {...state.all, ...part};
    draw();
  },
  moment(row) {
    state.rows = [...state.rows.slice(-719), row];
    draw();
  },
  event(entry) {
    if (state.events.some(({id}) => id === entry.id)) return;
    state.events = [entry, ...state.events].slice(0, 100);
    draw();
  },
  state(name) { showLink(name); },
});

// ---- range and theme ------------------------------------------------------------------------------------------------

function setUpRange() {
  for (const minutes of [5, 15, 60])
    $("range").append(el("button", {type: "button", "aria-pressed": String(minutes === state.range), onclick: (event) => {
      state.range = minutes;
      sessionStorage.setItem("pgsteady.minutes", String(minutes));
      for (const each of $("range").children) each.setAttribute("aria-pressed", String(each === event.target));
      draw();
    }}, minutes === 60 ? "1 hour" : `${minutes} min`));
}

function setUpTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => { document.documentElement.dataset.theme = localStorage.getItem("pgsteady.theme") || (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", show);
  $("theme").addEventListener("click", () => {
    localStorage.setItem("pgsteady.theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    show();
  });
  show();
}

setUpTheme();
setUpRange();
setUpTiles();
setUpOrders();
$("charts").append(...charts.map((each) => each.node));
$("configuration").addEventListener("toggle", openConfiguration);
$("configuration-find").addEventListener("input", () => configuration && drawConfiguration());
say($("footer-facts"), `pgsteady on ${location.host}`);
watchSessions();
live.run();
if (session.token) ask("/api/v1/monitoring/dashboard").then(({caller}) => { session.role = caller; showRole(); }).catch(() => {});
