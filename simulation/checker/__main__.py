"""`python -m simulation.checker`: search the scenarios, tell the progress, write the result as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from simulation.checker.proof import prove
from simulation.checker.scenarios import EVERYTHING, LARGE, SMALL

RESULTS: Final = Path(".proof/checker")


def main(arguments: list[str] | None = None) -> int:
    """See the module. 0 if every scenario was searched as far as was asked and nothing was wrong, else 1."""
    parser = argparse.ArgumentParser(prog="python -m simulation.checker", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the large scenarios too, and everything at once")
    parser.add_argument("--most", type=int, default=1_000_000, help="how far everything at once is searched, in states")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where the results are kept; what is there is not done again"
    )
    parser.add_argument("--afresh", action="store_true", help="do it all again")
    options = parser.parse_args(arguments)
    scenarios = [(scenario, None) for scenario in (*SMALL, *(LARGE if options.long else ()))]
    bounded = [(EVERYTHING, options.most)] if options.long else []
    proof = prove([*scenarios, *bounded], options.results, options.afresh, lambda line: print(line, flush=True))
    print(proof)
    return 0 if proof.holds else 1


if __name__ == "__main__":
    sys.exit(main())
