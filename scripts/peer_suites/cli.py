"""The command line: prepare, run both sides, compare."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .comparison import compare, print_comparison, print_outcomes
from .explained import EXPLANATIONS, explanations_for
from .runs import baseline, run_ours
from .setup import prepare
from .suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when every test of every chosen suite ends as it does on stock, else 1."""
    options = _parse(arguments)
    suites = [suite for suite in SUITES if options.suite in (None, suite.name)]
    workshop = prepare(SUITES)
    agreed = True
    for suite in suites:
        stock = baseline(workshop, suite, options.workers, refresh=options.stock)
        print_outcomes(f"{suite} on stock", stock)
        if options.stock:
            continue
        ours = run_ours(workshop, suite, options.workers, options.keyword, options.without)
        print_outcomes(f"{suite} on SturdyAPI", ours)
        comparison = compare(suite, stock, ours, partial=options.keyword is not None)
        print_comparison(comparison, explanations_for(suite, options.without))
        agreed = agreed and comparison.agrees
    return 0 if agreed else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/peer-suites", description=main.__doc__)
    parser.add_argument("--suite", choices=[suite.name for suite in SUITES], help="only this one")
    parser.add_argument("-k", dest="keyword", help="only tests that match, as in pytest")
    parser.add_argument("-n", dest="workers", type=int, default=2, help="processes; 0 for none")
    parser.add_argument(
        "--stock", action="store_true", help="only run stock, and keep its outcomes"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[explanation.id for explanation in EXPLANATIONS],
        help="leave this difference unhandled, to see the tests that notice it",
    )
    return parser.parse_args(arguments)
