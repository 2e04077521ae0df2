// Recoveries, told as stories, and the journal of everything that happened.

function drawRecoveries(list) {
  const over = list.filter((each) => each.ended);
  const mean = over.length ? over.reduce((sum, each) => sum + each.seconds, 0) / over.length : null;
  say($("recoveries-sum"), mean === null ? "" : `${plural(over.length, "outage")}, a primary after ${seconds(mean)} on average`);
  if (!list.length) {
    keep($("recoveries"), [], null, null);
    replace($("recoveries"), el("p.empty", null, "No outage since the start. When a primary is lost, this tells how long it took and what clients noticed."));
    return;
  }
  keep($("recoveries"), list.slice(0, 6), (each) => each.incident, recoveryView);
}

const outcomes = [
  ["repeated", (n) => `${plural(n, "request")} answered by another server`, "good"],
  ["waited", (n) => `${plural(n, "request")} waited and ${n === 1 ? "was" : "were"} served`, "good"],
  ["gave_up", (n) => `${count(n)} waited in vain`, "bad"],
  ["told_to_retry", (n) => `${plural(n, "transaction")} told to retry (40001)`, "warn"],
  ["result_lost", (n) => `${plural(n, "result")} cut short (08006)`, "warn"],
  ["statement_unknown", (n) => `${plural(n, "statement")} in doubt (40003)`, "bad"],
  ["commit_unknown", (n) => `${plural(n, "commit")} in doubt (08007)`, "bad"],
];

function recoveryView() {
  const took = el("div.took");
  const when = el("div.when");
  const what = el("p");
  const how = el("p.quiet");
  const chips = el("div.chips");
  const told = el("div.quiet.incidents");
  const node = el("div.story", null, el("div", null, took, when), el("div", null, what, how, chips, told));
  return {node, update(recovery) {
    say(took, seconds(recovery.seconds));
    say(when, recovery.ended ? moment(recovery.began) : `since ${moment(recovery.began)}`);
    node.id = recovery.incident;
    say(what, `Lost ${recovery.what}`);
    say(how, recovery.ended ? `Back: ${recovery.how}` : "A primary is being looked for.");
    replace(chips, badge(plural(recovery.clients, "client") + " connected"),
      ...outcomes.filter(([key]) => recovery[key] > 0).map(([key, text, tone]) => badge(text(recovery[key]), tone)),
      outcomes.every(([key]) => recovery[key] === 0) && recovery.ended && !recovery.incidents_total ? badge("nobody noticed", "good") : null);
    say(told, incidentsOf(recovery.incidents, recovery.incidents_total));
    told.hidden = !recovery.incidents.length;
  }};
}

/** Under these numbers the log and the clients' errors know what happened. */
function incidentsOf(numbers, total = numbers.length) {
  if (!numbers.length) return "";
  const shown = numbers.slice(-5);
  const more = total - shown.length;
  return `${plural(total, "incident")}: ${more > 0 ? "… " : ""}${shown.join(", ")}`;
}

function drawEvents(list) {
  if (!list.length) {
    replace($("events"), el("p.empty", null, "Nothing yet: changes of mode and role, breakers, alerts and commands will stand here."));
    return;
  }
  keep($("events"), list, (each) => String(each.id), (entry) => ({
    node: el("div.entry", {"data-level": entry.level},
      el("time", {datetime: entry.when, title: new Date(entry.when).toLocaleString("en-GB")}, clock(new Date(entry.when))), el("i", {title: entry.level}),
      el("span", null, el("span.kind", null, words(entry.kind)), entry.what,
        entry.incidents.length ? el("span.quiet", {title: entry.incidents.join(", ")}, ` · ${incidentsOf(entry.incidents)}`) : null,
        entry.incident ? el("a.quiet", {href: `#${entry.incident}`}, ` · ${entry.incident}`) : null)),
    update() {},
  }));
}
