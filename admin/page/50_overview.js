// The top of the page: how the service is in one sentence, the way from clients to servers, alerts, key figures.

const moods = {
  normal: ["Normal", "Statements are served."],
  degraded: ["Degraded", "Statements are served, but not everything is as it should be."],
  holding: ["Holding", "Statements wait; clients stay connected and notice a pause."],
  read_only: ["Read only", "Reads are served by standbys; writes are refused."],
  offline: ["Offline", "Nothing can be served."],
  draining: ["Draining", "The proxy is being stopped: clients may finish, new ones are not taken."],
};

/** Mode and state as one mood: a lost standby is worth a colour although everything is served. */
function moodOf({mode, state: service, draining}) {
  if (draining) return "draining";
  if (mode !== "normal") return mode;
  if (service === "disconnected") return "offline";
  return service === "connected" ? "normal" : "degraded";
}

function sentenceOf(status, mood) {
  if (status.two_primaries) return "Two backends accept writes; writes are refused until one of them is gone.";
  if (status.mode_cause) return status.mode_cause.charAt(0).toUpperCase() + status.mode_cause.slice(1) + (/[.!?]$/.test(status.mode_cause) ? "" : ".");
  const primary = status.backends.find((each) => each.role === "primary" && each.reachable !== false);
  const lost = status.backends.filter((each) => each.reachable === false);
  if (mood === "degraded" && lost.length) return `${lost.map((each) => each.backend).join(", ")} cannot be reached.${primary ? " Statements are served." : ""}`;
  if (mood === "normal" && primary) return `Statements are served by ${primary.backend}.`;
  return moods[mood][1];
}

function drawHero(all) {
  const {status} = all;
  const mood = moodOf(status);
  $("hero").dataset.mode = mood === "draining" ? "read_only" : mood;
  say($("mode"), status.held_by_operator && mood === "holding" ? "Held by an operator" : moods[mood][0]);
  say($("mode-why"), sentenceOf(status, mood));
  const facts = [`up ${seconds(status.uptime_seconds)}`, `${plural(status.workers.length, "worker")} on ${status.io_engine}`, bytes(status.memory_resident_bytes)];
  if (status.switchover) facts.push(`last switchover ${words(status.switchover.step).toLowerCase()}`);
  say($("facts"), facts.join(" · "));
  say($("version"), status.version);
  document.title = mood === "normal" ? "pgsteady" : `${moods[mood][0]} – pgsteady`;
  $("flow").hidden = false;
}

function drawFlow(all, now) {
  const {total} = all.connections;
  say($("flow-clients"), count(total.clients));
  say($("flow-waiting"), total.waiting ? `${count(total.waiting)} waiting` : "none waits");
  say($("flow-rate"), `${rate(now.per_second)}/s`);
  say($("flow-latency"), now.p95_ms === null ? "no request now" : `p95 ${duration(now.p95_ms)}`);
  const moving = now.per_second > 0;
  for (const id of ["wire-clients", "wire-servers"]) {
    $(id).classList.toggle("moving", moving);
    $(id).classList.toggle("still", !moving);
  }
  const breakers = new Map(all.status.circuit_breaker.map((each) => [each.scope, each]));
  keep($("backends"), all.status.backends, (each) => each.backend, () => backendView(breakers));
  if (!all.status.backends.length && !$("backends").firstChild)
    $("backends").append(el("li.backend", null, el("span.quiet", null, "No backend is known yet")));
}

/** Why a breaker opened last; nothing if it never did. */
function whyOpened(fuse) {
  if (!fuse || !fuse.opened_by) return "";
  return `breaker opened by ${words(fuse.opened_by).toLowerCase()}${fuse.last_failure ? ` (${fuse.last_failure})` : ""}`;
}

function backendView() {
  const role = el("span.badge");
  const name = el("span.mono");
  const breaker = el("span.badge.bad");
  const facts = el("div.quiet");
  const problem = el("div.problem");
  const node = el("li.backend", null, el("div.backend-head", null, role, name, breaker), facts, problem);
  return {node, update(backend) {
    const lost = backend.reachable === false;
    node.dataset.state = lost ? "lost" : backend.role;
    role.className = `badge ${lost ? "bad" : backend.role === "primary" ? "good" : backend.role === "standby" ? "accent" : ""}`;
    say(role, lost ? "unreachable" : backend.reachable === null ? "not tried yet" : backend.role);
    say(name, backend.backend);
    const fuse = state.all.status.circuit_breaker.find((each) => each.scope === backend.backend);
    breaker.hidden = !fuse || fuse.state === "closed";
    if (fuse) say(breaker, `breaker ${words(fuse.state).toLowerCase()}`);
    breaker.title = whyOpened(fuse);
    const parts = [];
    if (lost && backend.role !== "unknown") parts.push(`was ${backend.role}`);
    if (backend.latency_ms !== null && !lost) parts.push(`answers in ${duration(backend.latency_ms)}`);
    if (backend.lag_seconds !== null && !lost) parts.push(backend.lag_seconds < 0.001 ? "no lag" : `${seconds(backend.lag_seconds)} behind`);
    if (backend.timeline !== null) parts.push(`timeline ${backend.timeline}`);
    say(facts, parts.join(" · "));
    const reasons = [lost ? backend.last_problem : "", fuse && fuse.state !== "closed" ? whyOpened(fuse) : ""].filter(Boolean);
    problem.hidden = !reasons.length;
    say(problem, reasons.join(" · "));
  }};
}

function drawAlerts({active}) {
  keep($("alerts"), active, (each) => `${each.name} ${each.about}`, () => {
    const level = el("span.badge");
    const title = el("b");
    const since = el("span.quiet");
    const advice = el("div.advice");
    const node = el("div.alert", null, level, title, since, advice);
    return {node, update(alert) {
      node.dataset.level = alert.level;
      level.className = `badge ${{critical: "bad", warning: "warn"}[alert.level] || "accent"}`;
      say(level, alert.level);
      say(title, words(alert.name) + (alert.about ? `: ${alert.about}` : "") + measureOf(alert));
      say(since, `since ${moment(alert.since)}`);
      say(advice, [alert.advice.charAt(0).toUpperCase() + alert.advice.slice(1) + ".",
        alert.incidents.length ? `Latest ${incidentsOf(alert.incidents)}.` : ""].join(" ").trim());
    }};
  });
}

/** The value beside its threshold, where that says more than yes. */
function measureOf({name, value, threshold}) {
  const unit = {pool_saturation: " %", success_rate: " %", replication_lag: " s"}[name];
  return unit ? `, ${value}${unit} (limit ${threshold}${unit})` : "";
}

// ---- key figures ----------------------------------------------------------------------------------------------------

const tiles = [
  ["Requests", (all, now) => [rate(now.per_second), "/s"], (all) => `${count(all.metrics.query_metrics.count)} in 10 min`],
  ["Latency, p95", (all, now) => span(now.p95_ms), (all, now) => `p50 ${duration(now.p50_ms)} · p99 ${duration(now.p99_ms)}`],
  ["Success, last minute", (all) => [all.health.performance.success_rate.toFixed(all.health.performance.success_rate > 99.99 ? 0 : 2), "%"],
    (all) => `${plural(all.metrics.query_metrics.errors, "error")} in 10 min`,
    (all) => (all.health.performance.success_rate < 95 ? "bad" : all.health.performance.success_rate < 99 ? "warn" : "")],
  ["Servers at work", (all) => [count(all.connections.total.active), `of ${count(all.connections.total.open)}`],
    (all) => `${count(all.metrics.connection_metrics.lost)} lost in 10 min`],
  ["Waiting", (all) => [count(all.connections.total.waiting), ""],
    (all) => { const wait = all.metrics.connection_metrics.wait; return wait.count ? `p95 of waits ${duration(wait.p95_ms)}` : "nobody waited in 10 min"; },
    (all) => (all.connections.total.waiting > 0 ? "warn" : "")],
  ["Bridged", (all) => [count(all.status.retries.answered || 0), ""], bridgedMore],
];

/** What more has outlived its server than single requests. */
function bridgedMore({status: {replay: {replayed = 0, resume_continued: continued = 0}}}) {
  const parts = [replayed && `${plural(replayed, "transaction")} replayed`, continued && `${plural(continued, "answer")} continued`].filter(Boolean);
  return parts.join(", ") || "requests that outlived their server";
}

function setUpTiles() {
  for (const [name] of tiles)
    $("tiles").append(el("div.tile", null, el("div.tile-name", null, name), el("div.tile-value", null, el("span", null, "–"), " ", el("small")), el("div.tile-more")));
}

function drawTiles(all, now) {
  [...$("tiles").children].forEach((node, at) => {
    const [, value, more, tone] = tiles[at];
    const [number, unit] = value(all, now);
    say(node.querySelector(".tile-value span"), number);
    say(node.querySelector("small"), unit);
    say(node.querySelector(".tile-more"), more(all, now));
    node.querySelector(".tile-more").title = more(all, now);
    node.dataset.tone = tone ? tone(all) : "";
  });
}
