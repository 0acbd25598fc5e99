"""What failed, told once more at the end: suites run side by side, and what the first says may be thousands of lines above.

    python tests/failures.py .reports/*.xml

Reads pytest's JUnit reports. Exit code 1 where one names a failure or is missing its end, 0 where none does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

#: Lines of each failure's message, from its beginning and its end.
FIRST: Final = 6
LAST: Final = 14


def failures(report: Path) -> list[str]:
    """Every failed test of the report, with the ends of its message."""
    try:
        suite = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError) as error:
        return [f"{report}: no report, its tests did not come to their end ({error})"]
    found = []
    for case in suite.iter("testcase"):
        for problem in (*case.findall("failure"), *case.findall("error")):
            told = [
                line for line in (problem.get("message", "") + "\n" + (problem.text or "")).splitlines() if line.strip()
            ]
            shown = told if len(told) <= FIRST + LAST else [*told[:FIRST], "...", *told[-LAST:]]
            found.append(
                "\n".join([f"{case.get('classname')}::{case.get('name')}", *(f"    {line}" for line in shown)])
            )
    return found


def main(reports: list[Path]) -> int:
    """Print what failed."""
    found = [one for report in reports for one in failures(report)]
    for one in found:
        print(f"FAILED {one}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
