"""What somebody who looks at the page sees, and what it must never do."""

import faulthandler
import os
import re
import signal
import time

from lib import messages as msg
from lib.deadline import eventually
from lib.processes import REPOSITORY
from lib.wire_client import Closed, ServerError
from stage import DATABASE, READ_TOKEN, TOKEN

IMAGES = REPOSITORY / "docs/images"
HOSTILE = "<img src=x onerror=alert(1)>"

# The contrast of every text with what is behind it (WCAG 2.2, 1.4.3), of those that fall short.
CONTRAST = r"""(() => {
  const parts = (text) => { const found = text.match(/[\d.]+/g).map(Number); return found.length > 3 ? found : [...found, 1]; };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const light = (color) => color.slice(0, 3).map((each) => each / 255).map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => { const layers = []; for (let at = node; at; at = at.parentElement) layers.push(parts(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]); };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((each) => each.nodeType === 3 && each.data.trim()).map((each) => each.data.trim()).join(" ");
    if (!text || !node.checkVisibility({checkOpacity: true}) || node.closest("svg") || node.disabled) continue;
    const [a, b] = [light(over(parts(getComputedStyle(node).color), behind(node))), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) poor.push(`${contrast.toFixed(2)} ${node.tagName}.${node.className}: ${text.slice(0, 40)}`);
  }
  return poor;
})()"""

NAMELESS = r"""[...document.querySelectorAll("button, input, select, [tabindex='0']")].filter((each) => each.checkVisibility() &&
  !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby") || each.innerText?.trim() || each.labels?.length)).map((each) => each.outerHTML)"""


def _is_quiet(page, proxy, but=()):
    """No complaint in the console, and no request to anybody but the proxy."""
    left = [each for each in page.complaints if not any(text in each for text in but)]
    assert not left, left
    origin = f"http://127.0.0.1:{proxy.admin_port}/"
    others = [url for _, url, _ in page.requests if not url.startswith((origin, "data:", "about:"))]
    assert not others, others


def _drawn(page, proxy):
    page.shows("#mode", "Normal")
    page.eventually("document.querySelectorAll('#backends [data-state=primary]').length === 1 && "
                    "document.querySelectorAll('#backends [data-state=standby]').length === 1", "both roles are shown")


def draws(stage):
    """State, roles, pools, curves, statements, sessions; quietly, and nothing from anywhere else."""
    with stage.proxy() as proxy, stage.work(proxy):
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.shows("#link-text", "Live")
        page.eventually("Number(document.querySelector('#charts svg').dataset.points) >= 2", "the curves have points")
        page.shows("#pools", f"{DATABASE}/app")
        page.eventually("document.querySelectorAll('#statements tbody tr').length >= 3", "kinds of statements are told apart")
        page.value("document.getElementById('sessions').scrollIntoView()")
        page.eventually("document.querySelectorAll('#sessions tbody tr').length >= 6", "every session is listed")
        before = page.value("document.body.dataset.drawn")
        page.eventually(f"document.body.dataset.drawn > {before} + 1", "it goes on by itself")
        assert page.value("document.querySelectorAll('[style]').length") == page.value(
            "document.querySelectorAll('.meter [style]').length"), "only bars have a width of their own"
        _is_quiet(page, proxy)


def policy(stage):
    """Markup made from text does not run, and nothing can be loaded from anywhere else."""
    with stage.proxy() as proxy:
        _, headers, body = proxy.http("/", headers={"Accept": "text/html"})
        given = headers["Content-Security-Policy"]
        assert "default-src 'none'" in given and "'unsafe-inline'" not in given and "require-trusted-types-for 'script'" in given, given
        assert not re.search(r"(src|href)=\"(https?:)?//", body), "something is loaded from elsewhere"
        page = stage.open(proxy)
        _drawn(page, proxy)
        assert page.value("(() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch (e) { return e.name } })()") == "TypeError"
        assert page.value("fetch('http://127.0.0.1:1/').then(() => 'sent', (e) => e.name)") == "TypeError"
        status, headers, body = proxy.http("/")
        assert "text/plain" in headers["Content-Type"] and "/api/v1/events" in body, "others get a list"


def hostile_names(stage):
    """A database and an application that are called like markup are shown as text."""
    with stage.proxy() as proxy, proxy.connect(DATABASE, application_name=HOSTILE + "<b>app</b>") as client:
        client.query("select 1")
        page = stage.open(proxy)
        _drawn(page, proxy)
        try:
            proxy.connect(HOSTILE).close()
        except (ServerError, Closed):
            pass
        page.eventually("document.body.textContent.includes('onerror=alert')", "its name is shown")
        page.value("document.getElementById('sessions').scrollIntoView()")
        page.eventually("document.querySelector('#sessions').textContent.includes('<b>app</b>')", "the application's name is shown")
        assert page.value("document.querySelectorAll('img, #sessions b').length") == 0
        _is_quiet(page, proxy)


def outage_and_return(stage):
    """A primary that dies and comes back: the page tells it as it happens, without being loaded again."""
    with stage.proxy() as proxy, stage.work(proxy):
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.value("window.sameDocument = true")
        page.eventually("Number(document.querySelector('#charts svg').dataset.points) >= 2", "there was a time before")
        stage.primary.stop(signal.SIGQUIT)
        page.eventually("['holding', 'read_only'].includes(document.querySelector('#hero').dataset.mode)", "the outage is shown")
        page.eventually("document.querySelector('#backends [data-state=lost]')", "the lost backend is shown")
        page.shows("#recoveries", "A primary is being looked for")
        stage.primary.start()
        _drawn(page, proxy)
        page.shows("#recoveries", "Back:")
        page.shows("#recoveries", "connected")
        page.shows("#events", "Primary lost")
        page.shows("#events", "outage-1")
        page.shows("#events", "Recovery")
        page.eventually("document.querySelector('#charts .band')", "the curves show when it was")
        assert page.value("window.sameDocument"), "it was loaded again"
        _is_quiet(page, proxy)


def bridged(stage):
    """What outlived its server is told apart: a transaction that was replayed, an answer that was continued."""
    rows = 60000  # more than what sockets hold
    with stage.proxy() as proxy, proxy.connect(DATABASE) as writer, proxy.connect(DATABASE) as reader:
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.shows("#tiles", "requests that outlived their server")
        writer.query("begin")
        writer.query("update items set price = price + 1 where id = 1")
        reader.send(msg.query(f"select n, repeat('x', 500) from generate_series(1, {rows}) as n"))
        running = "select pid from pg_stat_activity where query like 'select n, repeat%' and wait_event = 'ClientWrite'"
        eventually(lambda: stage.primary.sql(running), "it waits for its reader")
        os.kill(int(stage.primary.sql(running)[0][0]), signal.SIGKILL)
        assert [row[0] for row in reader.read_result(60).rows] == [str(n) for n in range(1, rows + 1)]
        assert writer.query("commit", 60).tags == ["COMMIT"]
        page.shows("#tiles", "1 transaction replayed, 1 answer continued")
        _is_quiet(page, proxy)


def commands(stage):
    """An order is refused without the token and with a wrong one, and carried out with the right one."""
    with stage.proxy() as proxy:
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.click("#order-hold")
        page.eventually("document.querySelector('#dialog').open && document.activeElement.id === 'token'", "it asks for the token")
        page.click("#dialog-go")
        page.shows("#dialog-result", "not the operate token")
        page.type("wrong")
        page.click("#dialog-go")
        page.shows("#dialog-result", "token")
        assert page.value("sessionStorage.getItem('pgsteady.token')") is None, "a wrong token is not kept"
        assert not [url for method, url, _ in page.requests if method != "GET"], "an order was sent"
        assert proxy.http("/api/v1/hold", "POST", "{}", {"Content-Type": "application/json"})[0] == 401
        page.value("document.querySelector('#token').value = ''; document.querySelector('#token').focus()")
        page.type(TOKEN)
        page.press("Enter", text="\r")
        page.shows("#dialog-result", "held_by_operator")
        page.click("#dialog-cancel")
        page.shows("#mode", "Held by an operator")
        page.shows("#events", "Command")
        page.click("#order-resume")
        page.eventually("document.querySelector('#dialog').open && document.querySelector('#dialog-token').hidden", "the token is known")
        page.click("#dialog-go")
        page.shows("#dialog-result", "held_by_operator")
        page.press("Escape")
        page.shows("#mode", "Normal")
        assert "with the operate token" in proxy.log_text()
        urls = [url for _, url, _ in page.requests]
        assert not [url for url in urls if TOKEN in url], "D39: the token is never part of an address"
        _is_quiet(page, proxy, but=["the server responded with a status of 401"])


def reload(stage):
    """The configuration is loaded again from the page: behind the token, with every change, or every error, in the answer."""
    with stage.proxy() as proxy:
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.click("#order-reload")
        page.eventually("document.querySelector('#dialog').open && document.activeElement.id === 'token'", "it asks for the token")
        assert not [url for method, url, _ in page.requests if method != "GET"], "it was sent without asking"
        page.type(TOKEN)
        page.click("#dialog-go")
        page.shows("#dialog-result", "nothing to change")
        page.press("Escape")
        text = proxy.file.read_text()
        proxy.file.write_text("retry:\n  max_retries: many\n")
        page.click("#order-reload")
        page.click("#dialog-go")
        page.shows("#dialog-result", "max_retries")
        page.eventually("document.querySelector('#dialog-result .bad')", "it is shown as refused")
        page.press("Escape")
        proxy.file.write_text(text)
        page.shows("#alerts", "Reload failed")
        page.click("#order-reload")
        page.click("#dialog-go")
        page.shows("#dialog-result", "nothing to change")
        page.press("Escape")
        page.shows("#events", "Configuration changed")
        _is_quiet(page, proxy, but=["the server responded with a status of 422"])


def pool_commands(stage):
    """Pause and resume of a pool, a test of it, and the end of a session, each from its own row."""
    with stage.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        page = stage.open(proxy)
        page.value(f"sessionStorage.setItem('pgsteady.token', '{TOKEN}')")
        page.go(f"http://127.0.0.1:{proxy.admin_port}/")
        page.eventually("document.body.dataset.role === 'operate'", "the token of this tab is used")
        page.click(f"#pools [aria-label='Pause pool {DATABASE}/app']")
        page.click("#dialog-go")
        page.shows("#dialog-result", "paused")
        page.press("Escape")
        page.shows("#pools", "paused")
        page.click(f"#pools [aria-label='Resume pool {DATABASE}/app']")
        page.click("#dialog-go")
        page.shows("#dialog-result", "paused")
        page.press("Escape")
        page.click(f"#pools [aria-label='Test pool {DATABASE}/app']")
        page.click("#dialog-go")
        page.shows("#dialog-result", "PostgreSQL 15")
        page.press("Escape")
        page.value("document.getElementById('sessions').scrollIntoView()")
        page.eventually("document.querySelectorAll('#sessions tbody tr').length === 1", "the session is listed")
        page.click("#sessions tbody button")
        page.click("#dialog-go")
        page.shows("#dialog-result", "is ended")
        page.press("Escape")
        page.shows("#sessions", "No client is connected")
        _is_quiet(page, proxy)


def read_token(stage):
    """With a read token the page asks for one, shows everything with it, and does not take it for the other."""
    with stage.proxy(admin={"operate_token": TOKEN, "read_token": READ_TOKEN}) as proxy:
        page = stage.open(proxy)
        page.shows("#link-text", "Token needed")
        page.eventually("document.querySelector('#dialog').open", "it asks")
        page.type(READ_TOKEN)
        page.click("#dialog-go")
        _drawn(page, proxy)
        page.eventually("document.body.dataset.role === 'read'", "the role is known")
        _is_quiet(page, proxy, but=["401"])


def unreachable(stage):
    """While nobody answers it says so, and goes on when somebody does."""
    with stage.proxy() as proxy:
        page = stage.open(proxy)
        _drawn(page, proxy)
        proxy.stop()
        page.shows("#unreachable", "has not answered since")
        page.eventually("document.title.startsWith('No answer')", "the title says so")
        proxy.start()
        page.shows("#link-text", "Live")
        page.eventually("document.querySelector('#unreachable').hidden", "the notice is gone")
        _drawn(page, proxy)


def polling(stage):
    """Where the stream does not get through, it asks every two seconds."""
    with stage.proxy() as proxy:
        page = stage.open(proxy)
        page.block("/api/v1/events")
        page.go(f"http://127.0.0.1:{proxy.admin_port}/")
        page.shows("#link-text", "Every 2 s")
        _drawn(page, proxy)
        before = page.value("document.body.dataset.drawn")
        page.eventually(f"Number(document.body.dataset.drawn) > {before}", "it goes on by itself")


def looks(stage):
    """Light and dark, wide and on a phone: text can be read, everything has a name, nothing sticks out."""
    keep = os.environ.get("PGSTEADY_UPDATE_DOCS")
    with stage.proxy() as proxy, stage.work(proxy):
        _a_lively_past(stage, proxy, 240 if keep else 1)
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.value("sessionStorage.setItem('pgsteady.minutes', '5')")
        for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
            page.look(width, 860, dark)
            page.go(f"http://127.0.0.1:{proxy.admin_port}/")
            _drawn(page, proxy)
            page.value("document.getElementById('sessions').scrollIntoView()")
            page.eventually("document.querySelectorAll('#sessions tbody tr').length >= 6", "sessions are listed")
            page.value("scrollTo(0, 0)")
            assert page.value("document.documentElement.dataset.theme") == ("dark" if dark else "light")
            assert page.value("document.documentElement.scrollWidth") <= width, "it has to be scrolled sideways"
            assert not (poor := page.value(CONTRAST)), poor
            assert not (nameless := page.value(NAMELESS)), nameless
            picture = page.screenshot()
            assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
            if keep:
                IMAGES.mkdir(exist_ok=True)
                name = f"dashboard-{'phone-' if width < 700 else ''}{'dark' if dark else 'light'}.png"
                (IMAGES / name).write_bytes(picture)
        _is_quiet(page, proxy)


def _a_lively_past(stage, proxy, seconds):
    """Some minutes to show: an outage in the middle of work."""
    if seconds > 10:
        signal.alarm(600)                          # pictures are taken by hand, and take their time
        faulthandler.cancel_dump_traceback_later()
    time.sleep(seconds / 2)
    if seconds > 10:
        stage.primary.stop(signal.SIGQUIT)
        time.sleep(6)
        stage.primary.start()
        eventually(lambda: '"mode": "normal"' in proxy.http("/api/database-recovery/status")[2], "it is over", 20)
    time.sleep(seconds / 2)


def keyboard(stage):
    """A curve is read with the arrow keys, a dialog is left with Escape, and the focus comes back."""
    with stage.proxy() as proxy, stage.work(proxy, 2):
        page = stage.open(proxy)
        _drawn(page, proxy)
        page.eventually("Number(document.querySelector('#charts svg').dataset.points) >= 2", "the curve has points")
        page.value("document.querySelector('#charts svg').focus()")
        page.press("ArrowLeft")
        page.eventually("document.querySelector('#charts .cross')", "the cross-hair is there")
        assert "requests" in page.value("document.querySelector('#charts svg').getAttribute('aria-label')")
        page.value("document.querySelector('#order-recover').focus()")
        page.press("Enter", text="\r")
        page.eventually("document.querySelector('#dialog').open", "the dialog opens")
        page.press("Escape")
        page.eventually("!document.querySelector('#dialog').open && document.activeElement.id === 'order-recover'", "the focus is back")


CASES = [draws, policy, hostile_names, outage_and_return, bridged, commands, reload, pool_commands, read_token, unreachable, polling, keyboard, looks]
