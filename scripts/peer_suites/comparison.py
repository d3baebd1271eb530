"""The two sides, test by test."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .explained import Explanation
    from .runs import Outcomes
    from .suites import Suite

_ENOUGH = 0.95
"""Share of a suite's known passes below which the suite did not really run."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that ends differently."""

    test: str
    stock: str
    ours: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a suite's tests end on SturdyAPI, next to how they end on stock."""

    suite: Suite
    compared: int
    differences: Sequence[Difference]
    not_run: Sequence[str]
    """Tests that ran on stock only."""
    stock_passed: int

    @property
    def ran_enough(self) -> bool:
        """Whether stock passed about what it is known to pass; two empty runs agree as well."""
        return self.stock_passed >= self.suite.passed * _ENOUGH

    @property
    def agrees(self) -> bool:
        """Whether nothing is left to explain."""
        return self.ran_enough and not self.differences and not self.not_run


def compare(suite: Suite, stock: Outcomes, ours: Outcomes, *, partial: bool) -> Comparison:
    """Compare the outcomes of every test.

    Args:
        suite: What was run.
        stock: Outcomes of the suite as published.
        ours: Outcomes with the stand-in.
        partial: Only some tests were asked of ours; that the others did not run is no fault.
    """
    return Comparison(
        suite=suite,
        compared=len(ours.keys() & stock.keys()),
        differences=sorted(_differences(stock, ours), key=lambda difference: difference.test),
        not_run=() if partial else sorted(stock.keys() - ours.keys()),
        stock_passed=_count(stock)["passed"],
    )


def _differences(stock: Outcomes, ours: Outcomes) -> Iterator[Difference]:
    for test, outcome in ours.items():
        expected = stock[test]["result"] if test in stock else "not run"
        if outcome["result"] != expected:
            yield Difference(test, expected, outcome["result"], outcome["text"])


def print_outcomes(title: str, outcomes: Outcomes) -> None:
    """Print one line: how many tests ended how."""
    counts = ", ".join(f"{count:,} {result}" for result, count in _count(outcomes).most_common())
    print(f"  {title}: {counts}", flush=True)


def print_comparison(comparison: Comparison, explanations: Iterable[Explanation]) -> None:
    """Print the handled differences, and every difference that nothing explains."""
    for explanation in explanations:
        print(f"    explained   {explanation}")
    for difference in comparison.differences:
        print(f"    UNEXPLAINED {difference.test}: {difference.stock} -> {difference.ours}")
        print(f"                {_first_error(difference.text)}")
    for test in comparison.not_run:
        print(f"    UNEXPLAINED {test}: ran on stock only")
    print(f"  {comparison.suite}: {_verdict(comparison)}", flush=True)


def _verdict(comparison: Comparison) -> str:
    if not comparison.ran_enough:
        return (
            f"stock passed only {comparison.stock_passed:,} of {comparison.suite.passed:,} tests: "
            "the suite itself did not run"
        )
    unexplained = len(comparison.differences) + len(comparison.not_run)
    return f"{comparison.compared:,} tests compared, {unexplained:,} unexplained differences"


def _first_error(text: str) -> str:
    """Return the line of a traceback that says what was wrong."""
    lines = text.splitlines() or [""]
    return next((line for line in lines if line.startswith("E  ")), lines[-1])[:160]


def _count(outcomes: Outcomes) -> Counter[str]:
    return Counter(outcome["result"] for outcome in outcomes.values())
