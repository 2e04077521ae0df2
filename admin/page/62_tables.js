// Tables: statements by kind, sessions, configuration.

function tableOf(heads, rows) {
  return el("table", null, el("thead", null, el("tr", null, ...heads.map(([name, look]) => el("th" + (look ? "." + look : ""), {scope: "col"}, name)))),
    el("tbody", null, ...rows));
}

function drawStatements({query_metrics: queries}) {
  const kinds = Object.entries(queries.by_operation).sort(([, a], [, b]) => b.count - a.count);
  if (!kinds.length) {
    replace($("statements"), el("p.empty", null, "No statement in the last ten minutes."));
    return;
  }
  const heads = [["Kind"], ["Count", "number"], ["Errors", "number"], ["Mean", "number"], ["p50", "number"], ["p95", "number"], ["p99", "number"]];
  const row = (name, of) => el("tr", null, el("td", null, name), el("td.number", null, count(of.count)),
    el("td.number" + (of.errors ? ".bad" : ""), null, count(of.errors)),
    ...[of.mean_ms, of.p50_ms, of.p95_ms, of.p99_ms].map((time) => el("td.number", null, duration(time))));
  const rows = kinds.map(([name, of]) => row(name, of));
  if (kinds.length > 1) rows.push(row("all", queries));
  replace($("statements"), tableOf(heads, rows));
}

// ---- sessions -----------------------------------------------------------------------------------------------------

const sessionsShown = 100;
const sessions = {list: null, problem: "", visible: false};

function wantedSessions() {
  const text = $("sessions-find").value.trim().toLowerCase();
  const stuck = $("sessions-stuck").checked;
  return (sessions.list || []).filter((each) => (!stuck || each.pinned || each.waits_for) &&
    (!text || [each.session, each.user, each.database, each.application_name, each.peer, each.state, each.server, each.pinned, each.waits_for].join(" ").toLowerCase().includes(text)));
}

function whyOf(each) {
  if (each.waits_for) return `waits ${seconds(each.wait_seconds)}: ${each.waits_for}`;
  return each.pinned ? `pinned: ${each.pinned}` : "";
}

function sessionView(first) {
  const state_ = badge("");
  const why = el("td");
  const name = el("td");
  const age = el("td.number");
  const server = el("td.mono");
  const end = el("button.button.small", {type: "button", "aria-label": `End session ${first.session}`,
    onclick: () => dialog.order("end", first.session, `${first.user}@${first.database} from ${first.peer}`)}, "End");
  const node = el("tr", null, el("td.number", null, String(first.session)), el("td", null, `${first.user}@${first.database}`), name, el("td.mono", null, first.peer),
    age, el("td", null, state_), why, server, el("td.end", null, end));
  return {node, update(each) {
    state_.className = `badge ${{waiting: "warn", active: "good", in_transaction: "accent"}[each.state] || ""}`;
    say(state_, words(each.state).toLowerCase());
    say(why, whyOf(each));
    say(name, each.application_name);
    say(age, seconds(each.age_seconds));
    age.title = "connected for so long";
    say(server, each.server ? `${each.server}${each.server_pid ? ` · ${each.server_pid}` : ""}` : "");
  }};
}

let sessionTable;
function drawSessions() {
  const wanted = wantedSessions();
  const {list} = sessions;
  say($("sessions-sum"), list ? (wanted.length === list.length ? plural(list.length, "session") : `${wanted.length} of ${plural(list.length, "session")}`) : "");
  if (!wanted.length) {
    const text = sessions.problem || (list === null ? "…" : list.length ? "No session is like that." : "No client is connected.");
    replace($("sessions"), el("p.empty", null, text));
    return;
  }
  sessionTable = sessionTable || tableOf([["Id", "number"], ["Who"], ["Application"], ["From"], ["Here for", "number"], ["State"], ["Why"], ["Server"], [""]], []);
  if ($("sessions").firstChild !== sessionTable) replace($("sessions"), sessionTable);
  keep(sessionTable.tBodies[0], wanted.slice(0, sessionsShown), (each) => String(each.session), sessionView);
}

async function watchSessions() {
  new IntersectionObserver((seen) => { sessions.visible = seen[seen.length - 1].isIntersecting; }, {rootMargin: "200px"}).observe($("sessions"));
  for (const id of ["sessions-find", "sessions-stuck"]) $(id).addEventListener("input", drawSessions);
  for (;;) {
    if (sessions.visible && !document.hidden && state.link !== "unreachable" && state.link !== "locked") {
      try {
        sessions.list = (await ask("/api/v1/sessions")).sessions;
        sessions.problem = "";
      } catch (problem) {
        sessions.problem = problemOf(problem)[0];
      }
      drawSessions();
    }
    await new Promise((done) => { setTimeout(done, 2500); });
  }
}

// ---- configuration ------------------------------------------------------------------------------------------------

let configuration = null;

function drawConfiguration() {
  const text = $("configuration-find").value.trim().toLowerCase();
  const wanted = configuration.filter(({key, source}) => `${key} ${source}`.toLowerCase().includes(text));
  const rows = wanted.map(({key, value, source}) => el("tr", null, el("td.mono", null, key), el("td.mono", null, value),
    el("td", null, source === "default" ? el("span.quiet", null, source) : badge(source, "accent"))));
  replace($("configuration-rows"), rows.length ? tableOf([["Key"], ["Value"], ["Source"]], rows) : el("p.empty", null, "No key is like that."));
}

async function openConfiguration() {
  if (!$("configuration").open) return;
  try {
    configuration = (await ask("/api/v1/config")).values;
    drawConfiguration();
  } catch (problem) {
    replace($("configuration-rows"), el("p.empty", null, problemOf(problem)[0]));
  }
}
