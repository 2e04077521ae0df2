#!/usr/bin/env python3
"""The check for traps without a test is itself tested."""

import tempfile
import unittest
from pathlib import Path

from traps import TRAPS, findings, named_in, table


class Traps(unittest.TestCase):
    def test_names(self):
        self.assertEqual(named_in("T1, T4-T6: ETL9 and T10x are none; P7; P14 to P16"),
                         {"T1", "T4", "T5", "T6", "P7", "P14", "P15", "P16"})

    def test_where_a_name_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            room = Path(folder) / "tests" / "room"
            room.mkdir(parents=True)
            (room / "a_test.cpp").write_text('// T1\nTEST_CASE(\n    "T2: is \\"so\\", "\n    "T3") {}\n', encoding="utf-8")
            (room / "helper.cpp").write_text('TEST_CASE("T4")\n', encoding="utf-8")
            (room / "b_cases.py").write_text('def case(): """T5: is so."""\n', encoding="utf-8")
            named = table(Path(folder))
            self.assertEqual({trap for trap, where in named.items() if where}, {"T2", "T3", "T5"})

    def test_findings(self):
        named = {trap: ["a"] for trap in TRAPS}
        self.assertEqual(findings(named, {}), [])
        named["T7"] = []
        self.assertEqual(findings(named, {}), ["T7 is named by no test"])
        self.assertEqual(findings(named, {"T7": "nobody can"}), [])
        self.assertEqual(len(findings(named, {"T7": "nobody can", "P8": "nor that"})), 1)
        self.assertEqual(findings({**named, "T7": ["a"], "T99": ["b"]}, {}), ["b: there is no T99"])


if __name__ == "__main__":
    unittest.main()
