// Commands: what there is to order, and the dialog that explains, asks for what is missing, sends and shows what was done.
// Nothing is sent before somebody has read what it does and pressed its button.

const targets = () => state.all ? state.all.status.backends.map((each) => each.backend) : [];
const pools = () => state.all ? state.all.connections.pools.map((each) => each.pool) : [];
const base = "/api/database-recovery";

/** fields: [{name, label, kind: text|number|flag|choice, of, value, wide}] */
const orders = {
  recover: {
    title: "Recover now", method: "POST", path: `${base}/recover`, brief: "Look at all backends at once",
    text: "Looks at every backend now, drops connections that are broken, forgets pauses between attempts and gives open breakers a try. What works is left alone.",
  },
  hold: {
    title: "Hold", method: "POST", path: "/api/v1/hold", brief: "Let statements wait, for a planned pause", danger: true,
    text: "New transactions and writes wait until Resume, each for at most its hold timeout. Transactions that are open go on.",
  },
  resume: {
    title: "Resume", method: "POST", path: "/api/v1/resume", brief: "End a hold or a switchover",
    text: "Ends a hold or a switchover. Whoever waits is served, in a ramp.",
  },
  switchover: {
    title: "Switch over", method: "POST", path: "/api/v1/switchover", brief: "Hold, promote, release", danger: true,
    text: "Holds new work, lets open transactions end, runs the hook that is configured, waits for another primary and releases.",
    fields: () => [{name: "backend", label: "Any backend of the cluster", kind: "choice", of: ["", ...targets()], wide: true}],
  },
  breaker: {
    title: "Breakers", go: "Apply", method: "POST", path: `${base}/circuit-breaker/reset`, brief: "Reset, or force open or closed",
    text: "Reset forgets failures and probes at once. Forced open or closed lasts until it is set back to automatic.",
    fields: () => [{name: "action", label: "Action", kind: "choice", of: ["reset", "open", "close", "auto"]},
                   {name: "scope", label: "Scope", kind: "choice", of: ["all", "write", ...targets()]}],
  },
  test: {
    title: "Test connections", method: "POST", path: `${base}/test-connection`, brief: "Sign in and ask something", open: true,
    text: "Signs in to pools and backends, each with a connection of its own, and asks the query. Without the token only SELECT 1 and SELECT version() are asked.",
    fields: (about) => [{name: "connection_type", label: "Target", kind: "choice", of: ["all", ...pools(), ...targets()], value: about},
                        {name: "test_query", label: "Query", kind: "text", value: "SELECT 1"}],
  },
  retry: {
    title: "Retry configuration", go: "Apply", method: "PUT", path: `${base}/retry-config`, brief: "How failed statements are retried",
    text: "Counts at once, and until the configuration is loaded again. What is left empty stays as it is.",
    fields: () => {
      const now = state.all ? state.all.status.retry_config : {};
      return [{name: "pool", label: "Pool", kind: "choice", of: ["", ...pools()], wide: true, none: "all, and those to come"},
              {name: "strategy", label: "Strategy", kind: "choice", of: ["exponential_backoff", "linear_backoff", "fixed_delay"], value: now.strategy},
              {name: "max_retries", label: "Attempts after the first", kind: "number", value: now.max_retries},
              {name: "initial_delay", label: "First pause, s", kind: "number", value: now.initial_delay},
              {name: "max_delay", label: "Longest pause, s", kind: "number", value: now.max_delay},
              {name: "multiplier", label: "Growth", kind: "number", value: now.multiplier},
              {name: "timeout", label: "Longest wait, s", kind: "number", value: now.timeout},
              {name: "jitter", label: "Draw pauses at random", kind: "flag", value: now.jitter, wide: true}];
    },
  },
  switches: {
    title: "Switches", go: "Apply", method: "PUT", path: "/api/v1/switches", brief: "Turn parts of the recovery off or on", danger: true,
    text: "Parts of the recovery that can be turned off when they do harm. Counts at once, and until the configuration is loaded again.",
    fields: () => Object.entries(state.all ? state.all.status.switches : {}).map(([name, value]) => ({name, label: name, kind: "flag", value, wide: true})),
  },
  reload: {
    title: "Reload configuration", method: "POST", path: "/api/v1/reload", brief: "Read the file again, all or nothing", go: "Reload",
    text: "Reads the configuration again. If anything in it is wrong, nothing changes and every problem is listed. What was changed at run time is replaced.",
  },
  pause: {
    title: "Pause pool", method: "POST", path: (about) => `/api/v1/pools/${encodeURIComponent(about)}/pause`, danger: true,
    text: "Its servers are closed as they become free, and its statements wait until Resume.",
  },
  unpause: {
    title: "Resume pool", method: "POST", path: (about) => `/api/v1/pools/${encodeURIComponent(about)}/resume`,
    text: "Ends the pause. Whoever waits is served.",
  },
  reconnect: {
    title: "Reconnect pool", method: "POST", path: (about) => `/api/v1/pools/${encodeURIComponent(about)}/reconnect`,
    text: "Servers that are open now are closed as soon as they are free; new ones take their place.",
  },
  end: {
    title: "End session", method: "DELETE", path: (about) => `/api/v1/sessions/${about}`, danger: true,
    text: "Ends this client. An open transaction of it is rolled back.",
  },
};

function fieldOf({name, label, kind, of, value, wide, none}) {
  const id = `field-${name.replaceAll(".", "-")}`;
  let input;
  if (kind === "choice") {
    input = el("select", {id, name}, ...of.map((each) => el("option", {value: each}, each || none || "any")));
    if (value !== undefined && of.includes(value)) input.value = value;
  } else {
    input = el("input", {id, name, type: kind === "flag" ? "checkbox" : "text", inputmode: kind === "number" ? "decimal" : null, autocomplete: "off"});
    if (kind === "flag") input.checked = Boolean(value);
    else input.value = value ?? "";
  }
  input.kind = kind;
  const node = kind === "flag" ? el("label.check", {for: id}, input, label) : el("div", null, el("label", {for: id}, label), input);
  if (wide) node.classList.add("wide");
  return node;
}

/** What was filled in; fields that were left empty are not sent. */
function bodyOf(form) {
  const body = {};
  for (const input of form.querySelectorAll("[name]")) {
    if (input.kind === "flag") body[input.name] = input.checked;
    else if (input.value.trim() !== "") body[input.name] = input.kind === "number" && !Number.isNaN(Number(input.value)) ? Number(input.value) : input.value;
  }
  return body;
}

const dialog = {
  /** An order from the table; `about` is a pool or a session. */
  order(name, about, detail) {
    const order = orders[name];
    const path = typeof order.path === "function" ? order.path(about) : order.path;
    const fields = order.fields ? order.fields(about) : [];
    this.open({
      title: order.title, text: order.text, fields, danger: order.danger, go: order.go || order.title,
      request: `${order.method} ${path}${detail ? `   ${detail}` : ""}`,
      token: session.role !== "operate" && !order.open,
      async run(form) {
        const body = fields.length ? bodyOf(form) : undefined;
        return ask(path, {method: order.method, body, wait: 60000});
      },
    });
  },

  unlock(reason) {
    this.open({
      title: session.role === "operate" ? "Lock commands" : "Unlock commands",
      text: reason || (session.role === "operate" ? "Forgets the token in this tab." : "Commands need admin.operate_token; reading may need admin.read_token."),
      fields: [], token: session.role !== "operate", go: session.role === "operate" ? "Forget it" : "Use this token", request: "", reading: Boolean(reason),
      run: async () => {
        if (session.role === "operate") { session.keep(""); session.role = "nobody"; live.again(); return {did: ["The token is forgotten."], changes: []}; }
        live.again();
        return {did: [`This token may ${session.role}.`], changes: []};
      },
    });
  },

  open(what) {
    this.what = what;
    say($("dialog-title"), what.title);
    say($("dialog-text"), what.text);
    replace($("dialog-fields"), ...what.fields.map(fieldOf));
    $("dialog-token").hidden = !what.token;
    $("token").value = "";
    replace($("dialog-result"));
    say($("dialog-request"), what.request);
    say($("dialog-go"), what.go);
    say($("dialog-cancel"), "Cancel");
    $("dialog-go").hidden = false;
    $("dialog-go").disabled = false;
    $("dialog-go").className = `button ${what.danger ? "danger" : "primary"}`;
    if (!$("dialog").open) $("dialog").showModal();
    const first = what.token ? $("token") : what.fields.length ? $("dialog-fields").querySelector("input, select") : $("dialog-cancel");
    first.focus();
  },

  /** A token is judged by the proxy before anything is sent with it; one that is refused is not kept. */
  async takeToken() {
    const given = $("token").value.trim();
    if (!given) return;
    const before = session.token;
    session.token = given;
    try {
      session.role = (await ask("/api/v1/monitoring/dashboard")).caller;
    } catch (problem) {
      session.token = before;
      throw problem;
    }
    const known = session.role === "operate" || before === "" ;
    session.keep(known ? given : before);
    showRole();
  },

  async go() {
    const {what} = this;
    $("dialog-go").disabled = true;
    try {
      if (what.token) await this.takeToken();
      if (what.token && !what.reading && session.role !== "operate") throw new Error("This is not the operate token.");
      const did = await what.run($("dialog-form"));
      this.show(resultOf(did), did && did.ok === false);
      $("dialog-go").hidden = true;
      $("dialog-token").hidden = true;
      say($("dialog-cancel"), "Close");
      $("dialog-cancel").focus();
    } catch (problem) {
      $("dialog-go").disabled = false;
      this.show(problemOf(problem), true);
    }
    showRole();
  },

  show(lines, bad) {
    replace($("dialog-result"), el("ul.result" + (bad ? ".bad" : ""), null, ...lines.map((line) => el("li", null, line))));
  },
};

function resultOf(did) {
  if (did && did.results)
    return did.results.map((each) => each.ok ? `${each.target}: well, in ${duration(each.latency_ms)}, PostgreSQL ${each.server_version}`
                                             : `${each.target}: ${each.error.sqlstate} ${each.error.message}`);
  const lines = [...(did.did || []), ...(did.changes || []).map((each) => `${each.where}: ${each.what} ${each.before} → ${each.after}`)];
  for (const each of did.needs_restart || []) lines.push(`Only after a restart: ${each}`);
  for (const each of did.warnings || []) lines.push(`Warning: ${each}`);
  return lines.length ? lines : ["Done; there was nothing to change."];
}

function problemOf(problem) {
  if (!(problem instanceof Refused)) return [problem.name === "TimeoutError" || problem instanceof TypeError ? "The proxy does not answer." : problem.message];
  return [problem.message, ...(problem.problem.errors || []).map((each) => `${each.key} ${each.problem}`)];
}

function showRole() {
  const operates = session.role === "operate";
  say($("unlock"), operates ? "Lock commands" : "Unlock commands");
  document.body.dataset.role = session.role;
}

function setUpOrders() {
  for (const name of ["recover", "hold", "resume", "switchover", "breaker", "test", "retry", "switches", "reload"])
    $("commands").append(el("button.button.command", {type: "button", id: `order-${name}`, onclick: () => dialog.order(name)},
      orders[name].title, el("span.quiet", null, orders[name].brief)));
  $("unlock").addEventListener("click", () => dialog.unlock());
  $("dialog-cancel").addEventListener("click", () => $("dialog").close());
  $("dialog-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("dialog-go").hidden && !$("dialog-go").disabled) dialog.go();
  });
}
