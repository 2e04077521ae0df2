"""A headless Chromium driven over its DevTools protocol, by pipe: no port, no driver, the standard library only.

    with Chromium(workspace) as browser:
        page = browser.open("http://127.0.0.1:6433/", width=1280, dark=True)
        page.eventually("document.title == 'pgsteady'", "the page is there")

A page remembers every message of its console and every request, so that a test can say what must not have happened.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from lib.deadline import Timeout
from lib.processes import with_death_signal

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
         "--remote-debugging-pipe")
ANSWER_SECONDS = 30
WAIT_SECONDS = 30


def find():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    def __init__(self, workspace):
        self._folder = workspace.folder("chromium")
        self._last = 0
        self._pages = {}
        self._rest = b""

    def __enter__(self):
        theirs_in, self._to = _pipe()
        self._from, theirs_out = _pipe()
        command = " ".join(("exec", '"$@"', f"3<&{theirs_in}", f"4>&{theirs_out}"))
        arguments = [find(), *FLAGS, f"--user-data-dir={self._folder / 'profile'}", "about:blank"]
        with open(self._folder / "chromium.log", "w") as log:
            self._process = subprocess.Popen(with_death_signal(["bash", "-c", command, "chromium", *arguments]),
                                             pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(theirs_in)
        os.close(theirs_out)
        self.send("Browser.getVersion")
        return self

    def __exit__(self, *_):
        try:
            self.send("Browser.close")
            self._process.wait(10)
        except (OSError, AssertionError, Timeout, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, url, **look):
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        page.send("Emulation.setFocusEmulationEnabled", enabled=True)
        page.look(**look)
        page.go(url)
        return page

    def close(self, page):
        self.send("Target.closeTarget", {"targetId": page.target})

    def send(self, method, parameters=None, session=None):
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        number = self._last
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self.receive(deadline, f"an answer to {method}")
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def receive(self, deadline, what):
        """The next message; events are given to their page as well."""
        while b"\0" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise Timeout(f"the browser does not give {what}")
            more = os.read(self._from, 1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        page = self._pages.get(message.get("sessionId"))
        if page and "method" in message:
            page.note(message["method"], message["params"])
        return message

    def listen(self, seconds):
        """Takes what comes for so long."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.receive(deadline, "anything")
        except Timeout:
            pass


class Page:
    def __init__(self, browser, session, target):
        self._browser, self._session, self.target = browser, session, target
        self.complaints = []            # of the console and of the browser
        self.requests = []              # (method, url, headers)
        self._refuse = None

    def send(self, method, **parameters):
        return self._browser.send(method, parameters, self._session)

    def note(self, method, parameters):
        if method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(each.get("value", each.get("description"))) for each in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            request = parameters["request"]
            self.requests.append((request["method"], request["url"], request["headers"]))

    # ---- looks ------------------------------------------------------------------------------------------------------

    def look(self, width=1280, height=900, dark=False):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                                                          {"name": "prefers-reduced-motion", "value": "reduce"}])

    def go(self, url):
        self.send("Page.navigate", url=url)

    def screenshot(self, whole=True):
        """A PNG, of the whole page or of what is in view."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    # ---- asking and acting ------------------------------------------------------------------------------------------

    def value(self, expression):
        """What an expression of JavaScript gives; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise AssertionError(f"{expression}: {details.get('exception', {}).get('description') or details['text']}")
        return answer["result"].get("value")

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def eventually(self, expression, what, seconds=WAIT_SECONDS):
        """Until the expression is true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.value(f"Boolean({expression})")
            except AssertionError:          # the page is being replaced
                found = None
            if found:
                return
            if time.monotonic() > deadline:
                raise Timeout(f"{what}: not within {seconds} s: {expression}\n"
                              f"the page says: {(self.text('body') or '')[:1500]}\nthe console says: {self.complaints}")
            self._browser.listen(0.05)

    def shows(self, selector, text, seconds=WAIT_SECONDS):
        self.eventually(f"(document.querySelector({json.dumps(selector)})?.innerText ?? '').includes({json.dumps(text)})",
                        f"{selector} shows {text!r}", seconds)

    def click(self, selector):
        """With the mouse, at its middle."""
        at = self.value(f"(() => {{ const node = document.querySelector({json.dumps(selector)}); node.scrollIntoView({{block: 'center'}}); "
                        "const box = node.getBoundingClientRect(); return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=at["x"], y=at["y"], button="left", clickCount=1)

    def press(self, key, code=None, text=None):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, **({"text": text} if text and kind == "keyDown" else {}),
                      windowsVirtualKeyCode={"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37}.get(key, 0))

    def type(self, text):
        """Into what has the focus."""
        self.send("Input.insertText", text=text)

    def block(self, part):
        """From the next document on: requests to addresses with this part fail as if nobody answered."""
        self.send("Page.addScriptToEvaluateOnNewDocument", source=f"""{{ const real = fetch;
            window.fetch = (path, ...more) => String(path).includes({json.dumps(part)}) ? Promise.reject(new TypeError("blocked")) : real(path, ...more); }}""")


def _pipe():
    """A pipe whose ends are not in the way of descriptors 3 and 4."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20))
        os.close(end)
    return ends
