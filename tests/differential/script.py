"""The mini-language of tests/differential/scripts (README.md describes it): text -> Script.

Parsing alone; nothing here talks to a server.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

MODES = ("transaction", "session", "statement")
POOLS = ("narrow", "wide", "shared")
HEADERS = ("modes", "pool")

_TOKEN = re.compile(r"""
    \s*(?:
      (?P<hex>x"(?:[0-9a-fA-F\s]*)")
    | (?P<text>"(?:\\.|[^"\\])*")
    | (?P<repeat>\*\d+)
    | (?P<punctuation>[\[\],+])
    | (?P<word>[^\s"\[\],+]+)
    )""", re.VERBOSE | re.DOTALL)


class ScriptError(Exception):
    """A line that the language does not know."""


@dataclass
class Step:
    """One line: the verb, its arguments, options given as key=value, and the line as written."""
    line: int
    source: str
    verb: str
    arguments: list
    options: dict


@dataclass
class Script:
    name: str
    title: str = ""
    modes: tuple = ("transaction", "session")
    pool: str = "narrow"
    steps: list = field(default_factory=list)

    def needs_wide_pool(self, mode):
        """`shared` means one server for all clients where servers are shared, and one each in session mode."""
        return self.pool == "wide" or (self.pool == "shared" and mode == "session")


def load(path):
    script = Script(Path(path).stem)
    for number, source in _logical_lines(Path(path).read_text()):
        if source.startswith("#"):
            script.title = script.title or source.lstrip("# ")
            continue
        key, colon, value = source.partition(":")
        try:
            if colon and key in HEADERS:
                _header(script, key, value.split())
            else:
                script.steps.append(parse_line(number, source))
        except (ScriptError, ValueError, IndexError) as problem:
            raise ScriptError(f"{path}:{number}: {problem}") from None
    return script


def _logical_lines(text):
    """Lines with their continuation lines (those that begin with a blank), comments included, empty ones not."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if line[0].isspace() and lines:
            lines[-1] = (lines[-1][0], lines[-1][1] + "\n" + line.strip())
        else:
            lines.append((number, line.rstrip()))
    return lines


def _header(script, key, words):
    if key == "modes":
        script.modes = MODES if words == ["all"] else tuple(words)
        unknown = set(script.modes) - set(MODES)
        if unknown:
            raise ScriptError(f"unknown mode {unknown.pop()}")
    elif key == "pool":
        script.pool = words[0]
        if script.pool not in POOLS:
            raise ScriptError(f"unknown pool {script.pool}")


def parse_line(number, source):
    """One line that is neither comment nor header."""
    tokens = _tokens(source)
    if not tokens or tokens[0][0] != "word":
        raise ScriptError("a line begins with a verb")
    verb = tokens.pop(0)[1]
    arguments, options = [], {}
    while tokens:
        kind, value = tokens[0]
        if kind == "word" and "=" in value:
            tokens.pop(0)
            key, _, rest = value.partition("=")
            options[key] = rest if rest else _value(tokens)
        else:
            arguments.append(_value(tokens))
    return Step(number, source, verb, arguments, options)


def _tokens(source):
    tokens, at = [], 0
    while source[at:].strip():
        match = _TOKEN.match(source, at)
        if not match:
            raise ScriptError(f"cannot read {source[at:at + 20]!r}")
        at = match.end()
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
    return tokens


def _value(tokens):
    kind, text = tokens.pop(0)
    if text == "[":
        return _list(tokens)
    if kind == "word":
        return _word(text)
    if kind not in ("text", "hex"):
        raise ScriptError(f"unexpected {text!r}")
    value = _literal(kind, text)
    while tokens and tokens[0][1][0] in "*+" and tokens[0][0] in ("repeat", "punctuation"):
        kind, text = tokens.pop(0)
        if kind == "repeat":
            value = value * int(text[1:])
        else:
            kind, text = tokens.pop(0)
            piece = _literal(kind, text)
            while tokens and tokens[0][0] == "repeat":
                piece = piece * int(tokens.pop(0)[1][1:])
            value += piece
    return value


def _literal(kind, text):
    if kind == "hex":
        return bytes.fromhex(text[2:-1])
    return json.loads(text.replace("\n", "\\n"))


def _word(text):
    if text == "null":
        return None
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _list(tokens):
    items = []
    while tokens[0][1] != "]":
        if tokens[0][1] == ",":
            tokens.pop(0)
        else:
            items.append(_value(tokens))
    tokens.pop(0)
    return items
