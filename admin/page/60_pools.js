// Pools as bars: what is at work, what rests, what may still come, who waits and why somebody keeps a server.

const poolsShown = 8;
let allPools = false;

/** Those that need eyes first. */
function byNeed(a, b) {
  return b.waiting - a.waiting || b.utilisation_percent - a.utilisation_percent || a.pool.localeCompare(b.pool);
}

function drawPools({pools: list}) {
  const sorted = [...list].sort(list.length > poolsShown ? byNeed : (a, b) => a.pool.localeCompare(b.pool));
  const shown = allPools ? sorted : sorted.slice(0, poolsShown);
  say($("pools-sum"), list.length > 1 ? `${plural(list.length, "pool")}` : "");
  if (!list.length) {
    keep($("pools"), [], null, null);
    replace($("pools"), el("p.empty", null, "No pool yet. One is made when a client signs in."));
    return;
  }
  keep($("pools"), shown, (each) => each.pool, poolView);
  if (list.length > poolsShown && !morePools(list.length).isConnected) $("pools").append(more);
}

let more;
function morePools(number) {
  more = more || el("button.button.small", {type: "button", onclick: () => { allPools = !allPools; draw(); }});
  more.stays = true;
  say(more, allPools ? "Show fewer" : `Show all ${number}`);
  return more;
}

const share = (part, of) => `${of > 0 ? Math.min(100, (part / of) * 100) : 0}%`;

function poolView(first) {
  const part = Object.fromEntries(["active", "idle", "dialling"].map((name) => [name, el(`span.${name}`)]));
  const lasting = el("span.lasting");
  const meter = el("div.meter", {role: "img"}, part.active, part.idle, part.dialling, lasting);
  const paused = badge("paused", "hold");
  const facts = el("div.pool-facts");
  const problem = el("div.problem");
  const pins = el("div.pool-facts");
  const pause = el("button.button.small", {type: "button", onclick: () => dialog.order(pause.dataset.order, first.pool, first.pool)}, "Pause");
  const reconnect = el("button.button.small", {type: "button", onclick: () => dialog.order("reconnect", first.pool, first.pool)}, "Reconnect");
  const test = el("button.button.small", {type: "button", onclick: () => dialog.order("test", first.pool)}, "Test");
  for (const [button, what] of [[reconnect, "Reconnect"], [test, "Test"]]) button.setAttribute("aria-label", `${what} pool ${first.pool}`);
  const node = el("div.pool", null,
    el("div.pool-head", null, el("span.name", null, first.pool), badge(first.mode), paused, el("span.pool-actions", null, test, reconnect, pause)),
    meter, facts, pins, problem);
  return {node, update(pool) {
    const capacity = Math.max(pool.size + pool.max_overflow, pool.open + pool.dialling);
    for (const name of Object.keys(part)) part[name].style.width = share(pool[name], capacity);
    lasting.style.width = share(pool.size, capacity);
    lasting.hidden = pool.max_overflow === 0;
    meter.setAttribute("aria-label", `${pool.active} at work, ${pool.idle} at rest, of at most ${capacity}`);
    paused.hidden = !pool.paused;
    say(pause, pool.paused ? "Resume" : "Pause");
    pause.dataset.order = pool.paused ? "unpause" : "pause";
    pause.setAttribute("aria-label", `${pool.paused ? "Resume" : "Pause"} pool ${pool.pool}`);
    replace(facts, ...factsOf(pool));
    const reasons = new Map();
    for (const {reason} of pool.pinned) reasons.set(reason, (reasons.get(reason) || 0) + 1);
    pins.hidden = !reasons.size;
    replace(pins, el("span", null, "pinned: ", [...reasons].map(([reason, number]) => `${number} by ${reason}`).join(", ")));
    const fuse = state.all.status.circuit_breaker.find((each) => each.scope === pool.pool && each.state !== "closed");
    const troubles = [pool.consecutive_failures ? pool.last_problem : "", whyOpened(fuse)].filter(Boolean);
    problem.hidden = !troubles.length;
    say(problem, troubles.join(" · "));
  }};
}

function factsOf(pool) {
  const fact = (number, text, look) => el("span" + (look ? "." + look : ""), null, el("b", null, count(number)), ` ${text}`);
  const facts = [fact(pool.active, "at work"), fact(pool.idle, "at rest"), fact(pool.clients, pool.clients === 1 ? "client" : "clients")];
  if (pool.dialling) facts.push(fact(pool.dialling, "being opened"));
  if (pool.overflow) facts.push(fact(pool.overflow, `of ${pool.max_overflow} overflow`));
  if (pool.waiting) facts.push(fact(pool.waiting, `waiting, up to ${duration(pool.oldest_wait_ms)}`, "waiting"));
  else if (pool.wait_time_ms > 0) facts.push(el("span", null, `mean wait ${duration(pool.wait_time_ms)}`));
  return facts;
}
