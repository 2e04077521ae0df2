#!/usr/bin/env python3
"""Keeps the arrows between the rooms, and a few habits that a compiler does not see.

Reads sources as text; builds nothing, changes nothing. ROOMS below is the whole architecture in one table: what each
folder may include of ours and which packages it may use. Everything that a row does not name is a finding.

    tests/tidy/layering.py [ROOT]      prints `file:line: finding`, exits 1 if there is any
"""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple


class Room(NamedTuple):
    files: str       # which files the row is about; the first matching row counts
    ours: str        # what of ours they may include; a folder means all that lies directly in it
    packages: str    # what they may include beside standard C++ (names from package_of)
    pure: bool       # no clock, no chance, no logging, no threads, no exceptions (see IMPURE)


ROOMS = [
    #    files                 may include of ours                                        packages            pure
    Room("protocol/*",         "protocol",                                                "libcrypto idn",    True),
    Room("config/config.hpp",  "",                                                        "",                 True),
    Room("config/*",           "config",                                                  "yaml-cpp fmt posix",
                                                                                                              False),
    Room("proxy/policy/*",     "proxy/policy protocol config/config.hpp",                 "",                 True),
    Room("proxy/sql/*",        "proxy/sql protocol",                                      "pg_query",         True),
    Room("proxy/session/*",    "proxy/session proxy/policy proxy/sql protocol config/config.hpp",
                                                                                          "iovec xxhash",     True),
    Room("proxy/pool/*",       "proxy/pool proxy/session proxy/policy proxy/sql protocol config/config.hpp",
                                                                                          "iovec",            True),
    Room("proxy/net/*",        "proxy/net config/config.hpp",                             "boost libcrypto libssl posix iovec fmt",
                                                                                                              False),
    Room("proxy/cluster/*",    "proxy/cluster proxy/net proxy/policy protocol config/config.hpp",
                                                                                          "boost posix iovec fmt",
                                                                                                              False),
    Room("proxy/console/*",    "proxy/console protocol config admin/snapshot.hpp admin/commands.hpp admin/printable.hpp",
                                                                                          "fmt",              True),
    Room("admin/http_server.*", "admin",                                                   "boost posix",     False),
    Room("admin/*",            "admin config protocol/error_response.hpp protocol/sqlstate.hpp",
                                                                                          "boost prometheus fmt libcrypto libssl",
                                                                                                              False),
    Room("proxy/*",            "*",                                                       "*",                False),
    Room("bench/*",            "*",                                                       "*",                False),
]

# What a pure room never says. Time and chance are arguments, outcomes are values, output is the shell's business.
IMPURE = [
    (r"::now\s*\(", "reads a clock; take the time as an argument"),
    (r"\b(clock_gettime|gettimeofday|std::time|std::clock)\s*\(", "reads a clock; take the time as an argument"),
    (r"\b(s?rand|random|RAND_bytes|RAND_priv_bytes|getrandom)\s*\(|\brandom_device\b|\bmt19937",
     "makes chance of its own; take random bytes as an argument"),
    (r"\bstd::(cout|cerr|clog|thread|jthread|mutex|shared_mutex|condition_variable)\b|\bthread_local\b",
     "prints or knows of threads"),
    (r"\bthrow\b", "throws; return a value"),
    (r"\bgetenv\s*\(", "reads the environment"),
]
IMPURE_HEADERS = {"random", "iostream", "fstream", "thread", "mutex", "shared_mutex", "condition_variable", "future"}

PRODUCT_LINES_MAX = 800

# For every text file of the repository. Written so that this file does not find itself.
EVERYWHERE = [
    (r"(?<![\w.~$}])/(home|Users|root|work)/\w", "a path of somebody's machine"),
    (r"\"resolved\"\s*:", "the address of a package registry"),
    (r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b", "unfinished; do it or open an issue"),
    (r"<{7} |>{7} ", "a merge conflict"),
]
NO_TABS = {".cpp", ".hpp", ".py", ".yaml", ".sh", ".json", ".txt"}


class Finding(NamedTuple):
    file: str
    line: int
    text: str


def package_of(header: str) -> str:
    """The package that an <angle> header belongs to; "" for standard C++."""
    first = header.split("/")[0]
    if first == "openssl":
        return "libssl" if header in ("openssl/ssl.h", "openssl/bio.h", "openssl/err.h") else "libcrypto"
    if header == "sys/uio.h":
        return "iovec"  # a plain struct: where bytes to write lie
    if header == "xxhash.h":
        return "xxhash"
    if first in ("stringprep.h", "idna.h"):
        return "idn"
    if first in ("pg_query.h", "pg_query", "protobuf", "protobuf-c"):
        return "pg_query"
    if header.endswith(".h") and first in ("sys", "netinet", "arpa", "linux", "net", header):
        return "posix"
    return first if "/" in header else ""


def may_include(header: str, allowed: str) -> bool:
    folder = header.rpartition("/")[0]
    return any(rule in ("*", header, folder) for rule in allowed.split())


def without_comments_and_literals(line: str) -> str:
    return re.sub(r'"(\\.|[^"\\])*"', '""', re.sub(r"//.*", "", line))


def include_findings(file: str, number: int, line: str, room: Room) -> Iterator[Finding]:
    found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
    if not found:
        return
    bracket, header = found.groups()
    if bracket == '"':
        if not may_include(header, room.ours):
            yield Finding(file, number, f'may not include "{header}"; its row allows: {room.ours or "nothing of ours"}')
        return
    package = package_of(header)
    if package and room.packages != "*" and package not in room.packages.split():
        yield Finding(file, number, f"may not use {package} (<{header}>); its row allows: {room.packages or 'std only'}")
    if room.pure and header in IMPURE_HEADERS:
        yield Finding(file, number, f"<{header}> has no place in a pure room")


def opens_with_purpose(file: str, lines: list[str]) -> bool:
    """A comment at the top; a .cpp that opens with its own header may leave it to that one."""
    own_header = f'#include "{file.removesuffix(".cpp")}.hpp"'
    return any(line.startswith("//") for line in lines[:3]) or own_header in lines[:2]


def code_findings(file: str, text: str) -> Iterator[Finding]:
    """What the table says about one C++ file of the product."""
    room = next((room for room in ROOMS if fnmatch.fnmatch(file, room.files)), None)
    if room is None:
        return
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        yield from include_findings(file, number, line, room)
        if room.pure:
            code = without_comments_and_literals(line)
            yield from (Finding(file, number, why) for pattern, why in IMPURE if re.search(pattern, code))
    if len(lines) > PRODUCT_LINES_MAX:
        yield Finding(file, len(lines), f"more than {PRODUCT_LINES_MAX} lines; find the second job in it")
    if file.endswith(".hpp") and "#pragma once" not in lines[:12]:
        yield Finding(file, 1, "no #pragma once")
    if not opens_with_purpose(file, lines):
        yield Finding(file, 1, "does not open by saying what it is and what it must never do")


def text_findings(file: str, text: str) -> Iterator[Finding]:
    """What holds for every text file."""
    for number, line in enumerate(text.splitlines(), 1):
        yield from (Finding(file, number, why) for pattern, why in EVERYWHERE if re.search(pattern, line))
        if "\t" in line and Path(file).suffix in NO_TABS:
            yield Finding(file, number, "a tab")


def repository_files(root: Path) -> list[str]:
    """Tracked and new files, without what .gitignore names; every file where there is no git."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return sorted(name for name in listed.stdout.split("\0") if name and (root / name).is_file())
    skip = {"build", ".git", "node_modules", "__pycache__"}
    return sorted(str(path.relative_to(root)) for path in root.rglob("*")
                  if path.is_file() and not skip & set(path.relative_to(root).parts))


def all_findings(root: Path) -> Iterator[Finding]:
    for file in repository_files(root):
        try:
            text = (root / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary: a fuzz seed, an image
        yield from text_findings(file, text)
        if file.endswith((".cpp", ".hpp")):
            yield from code_findings(file, text)


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    findings = list(all_findings(root))
    for finding in findings:
        print(f"{finding.file}:{finding.line}: {finding.text}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
