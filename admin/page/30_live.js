// The line to the proxy: the event stream, read by fetch so that the token travels in a header; polling where there is none;
// and neither while nobody answers. It goes on trying for ever, calmly.

const session = {
  token: sessionStorage.getItem("pgsteady.token") || "",
  role: "nobody",
  keep(token) {
    this.token = token;
    if (token) sessionStorage.setItem("pgsteady.token", token);
    else sessionStorage.removeItem("pgsteady.token");
  },
};

const withToken = (more = {}) => (session.token ? {...more, Authorization: `Bearer ${session.token}`} : more);

class Refused extends Error {
  constructor(status, problem) {
    super(problem && problem.detail ? problem.detail : `the proxy answers ${status}`);
    this.status = status;
    this.problem = problem || {};
  }
}

/** One request; the document, or Refused, or whatever fetch throws when nobody answers. */
async function ask(path, {method = "GET", body, wait = 10000} = {}) {
  const headers = withToken(body === undefined ? {} : {"Content-Type": "application/json"});
  const answer = await fetch(path, {method, headers, cache: "no-store", signal: AbortSignal.timeout(wait),
                                    body: body === undefined ? undefined : JSON.stringify(body)});
  const document_ = await answer.json().catch(() => null);
  if (!answer.ok && !(answer.status === 503 && document_ && !document_.title)) throw new Refused(answer.status, document_);
  return document_;
}

const pollsWithoutStream = 15;

class Live {
  /** on: {dashboard(document), snapshot(document), moment(row), event(entry), state(name, problem)} */
  constructor(on) {
    this.on = on;
    this.failures = 0;
    this.streamless = 0; // polls before the stream is tried again
    this.stop = null;
  }

  async run() {
    for (;;) {
      try {
        if (this.streamless > 0) await this.poll();
        else await this.listen();
      } catch (problem) {
        await this.failed(problem);
      }
    }
  }

  /** With another token. */
  again() {
    this.streamless = 0;
    this.failures = 0;
    if (this.stop) this.stop.abort();
    if (this.wake) this.wake();
  }

  pause(milliseconds) {
    return new Promise((done) => {
      const timer = setTimeout(done, milliseconds);
      this.wake = () => { clearTimeout(timer); done(); };
    });
  }

  async failed(problem) {
    if (problem instanceof Refused && (problem.status === 401 || problem.status === 403)) {
      this.on.state("locked", problem);
      await this.pause(3600 * 1000);
      return;
    }
    if (problem instanceof Refused && this.streamless === 0) { this.streamless = pollsWithoutStream; return; }
    // Both ways are tried in turn; when neither leads anywhere, nobody is there.
    this.failures += 1;
    this.streamless = this.failures % 2 === 0 ? pollsWithoutStream : 0;
    if (this.failures > 2) this.on.state("unreachable", problem);
    await this.pause(Math.min(5000, 400 * this.failures));
  }

  async poll() {
    const whole = await ask("/api/v1/monitoring/dashboard");
    this.failures = 0;
    this.streamless -= 1;
    this.on.dashboard(whole);
    this.on.state("polling");
    await this.pause(2000);
  }

  /** Until the stream ends or is silent for too long. */
  async listen() {
    const stop = new AbortController();
    this.stop = stop;
    let watchdog = setTimeout(() => stop.abort(), 6000);
    try {
      const answer = await fetch("/api/v1/events", {headers: withToken({Accept: "text/event-stream"}), cache: "no-store", signal: stop.signal});
      if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const {value, done} = await reader.read();
        if (done) throw new Error("the stream has ended");
        clearTimeout(watchdog);
        watchdog = setTimeout(() => stop.abort(), 6000);
        const frames = (rest + value).split("\n\n");
        rest = frames.pop();
        frames.forEach((frame) => this.take(frame));
      }
    } finally {
      clearTimeout(watchdog);
      this.stop = null;
    }
  }

  take(frame) {
    let name = "";
    let data = "";
    for (const line of frame.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      if (line.startsWith("data: ")) data = line.slice(6);
    }
    if (!name || !this.on[name] || name === "state") return;
    this.failures = 0;
    this.on[name](JSON.parse(data));
    this.on.state("live");
  }
}
