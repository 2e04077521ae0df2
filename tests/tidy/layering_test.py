#!/usr/bin/env python3
"""The layering test is itself tested: each rule must find what it is there for, and leave the rest alone."""

import unittest

from layering import code_findings, package_of, text_findings

OPENING = "// What it is.\n// What it must never do.\n"


def findings(file: str, code: str) -> list[str]:
    header = "#pragma once\n" if file.endswith(".hpp") else ""
    return [found.text for found in code_findings(file, OPENING + header + code)]


class Arrows(unittest.TestCase):
    FORBIDDEN = [
        ("protocol/a.cpp", '#include "config/config.hpp"'),
        ("protocol/a.cpp", "#include <boost/asio.hpp>"),
        ("protocol/a.cpp", "#include <sys/socket.h>"),
        ("protocol/a.cpp", "#include <openssl/ssl.h>"),
        ("protocol/a.cpp", "#include <spdlog/spdlog.h>"),
        ("config/config.hpp", "#include <yaml-cpp/yaml.h>"),
        ("config/load.cpp", '#include "protocol/wire.hpp"'),
        ("proxy/policy/a.hpp", '#include "config/load.hpp"'),
        ("proxy/policy/a.hpp", '#include "proxy/session/a.hpp"'),
        ("proxy/session/a.hpp", '#include "proxy/pool/a.hpp"'),
        ("proxy/session/a.hpp", '#include "proxy/net/stream.hpp"'),
        ("proxy/pool/a.cpp", "#include <unistd.h>"),
        ("proxy/net/a.cpp", '#include "protocol/frame.hpp"'),
        ("proxy/net/a.cpp", '#include "proxy/session/a.hpp"'),
        ("admin/a.cpp", '#include "proxy/worker/worker.hpp"'),
    ]
    ALLOWED = [
        ("protocol/a.cpp", '#include "protocol/wire.hpp"'),
        ("protocol/a.cpp", "#include <openssl/evp.h>"),
        ("config/load.cpp", "#include <yaml-cpp/yaml.h>"),
        ("proxy/policy/a.cpp", '#include "config/config.hpp"'),
        ("proxy/pool/a.cpp", '#include "proxy/session/a.hpp"'),
        ("proxy/net/a.cpp", "#include <sys/epoll.h>"),
        ("admin/a.cpp", '#include "config/print.hpp"'),
        ("proxy/worker/a.cpp", '#include "proxy/pool/a.hpp"'),
        ("proxy/main.cpp", "#include <CLI/CLI.hpp>"),
    ]

    def test_an_arrow_that_points_up_is_found(self):
        for file, line in self.FORBIDDEN:
            with self.subTest(file=file, line=line):
                self.assertEqual(len(findings(file, line)), 1)

    def test_an_arrow_of_the_table_is_left_alone(self):
        for file, line in self.ALLOWED:
            with self.subTest(file=file, line=line):
                self.assertEqual(findings(file, line), [])

    def test_packages_are_told_apart(self):
        for header, package in [("vector", ""), ("openssl/evp.h", "libcrypto"), ("openssl/ssl.h", "libssl"),
                                ("unistd.h", "posix"), ("sys/epoll.h", "posix"), ("boost/asio.hpp", "boost"),
                                ("pg_query.h", "pg_query"), ("stringprep.h", "idn")]:
            self.assertEqual(package_of(header), package, header)


class Purity(unittest.TestCase):
    def test_clocks_chance_and_exceptions_are_found_in_pure_rooms(self):
        for line in ["auto t = std::chrono::steady_clock::now();", "int r = rand();", "std::random_device d;",
                     "RAND_bytes(p, 4);", "std::cerr << 1;", "throw 1;", "#include <random>"]:
            with self.subTest(line=line):
                self.assertTrue(findings("proxy/session/a.cpp", line))
                self.assertEqual(findings("proxy/worker/a.cpp", line), [])

    def test_comments_and_literals_are_not_code(self):
        self.assertEqual(findings("protocol/a.cpp", 'auto s = "rand()"; // never calls now() nor throws: throw'), [])


class Files(unittest.TestCase):
    def test_a_long_file_is_found(self):
        self.assertEqual(len(findings("proxy/worker/a.cpp", "\n" * 801)), 1)

    def test_a_header_opens_with_its_purpose_and_a_guard(self):
        self.assertEqual(len(list(code_findings("protocol/a.hpp", "int x;\n"))), 2)

    def test_a_cpp_may_leave_its_purpose_to_its_own_header(self):
        self.assertEqual(list(code_findings("protocol/a.cpp", '#include "protocol/a.hpp"\n')), [])
        self.assertEqual(len(list(code_findings("protocol/a.cpp", '#include "protocol/b.hpp"\n'))), 1)

    def test_machine_paths_tabs_and_loose_ends_are_found(self):
        for text in ["cd /ho" "me/someone/x", "a\tb", "// TO" "DO later", '"resol' 'ved": "x"']:
            with self.subTest(text=text):
                self.assertEqual(len(list(text_findings("a.py", text))), 1)

    def test_ordinary_text_is_left_alone(self):
        for text in ["$HOME/x", "build/release/pgsteady", "proxy/worker/a.cpp", "GET /root"]:
            self.assertEqual(list(text_findings("a.py", text)), [])


if __name__ == "__main__":
    unittest.main()
