"""Findings of the label doctor, gathered by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nhan.catalog.samples import SampleRow
from nhan.sentences import Sentence
from nhan.tasks.base import Severity

# What a person looks at; the count says how many there are.
_EXAMPLES = 20
_SUBJECTS = 100
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Example:
    """One sample that a finding is about; `sample` is None for a finding about all of them."""

    sample: int | None
    name: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`; `said` is what a page needs to say the message in another language."""
        return {
            "sample": self.sample,
            "name": self.name,
            "message": self.message,
            "said": said(self.message),
        }


def said(words: str) -> dict[str, Any] | None:
    """What is kept of a sentence; None of text that is English alone."""
    return words.to_json() if isinstance(words, Sentence) else None


@dataclass
class AuditFinding:
    """One kind of finding, with the samples it is about.

    Attributes:
        code: machine-readable kind.
        severity: `error` must be fixed before training.
        count: samples concerned.
        hint: what to do, for the first of them.
        examples: the first samples, at most twenty.
        subjects: what is at fault (characters …), with the number of samples that hold it.
    """

    code: str
    severity: Severity
    count: int = 0
    hint: str = ""
    examples: list[Example] = field(default_factory=list)
    subjects: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "count": self.count,
            "hint": self.hint,
            "said": said(self.hint),
            "subjects": [
                {"value": value, "samples": count}
                for value, count in self.subjects.most_common(_SUBJECTS)
            ],
            "examples": [one.to_json() for one in self.examples],
        }


@dataclass
class AuditReport:
    """All findings, errors first.

    Attributes:
        samples: how many were looked at: those that would enter a dataset version.
        states: all samples of the task by state.
    """

    task: str
    samples: int
    states: dict[str, int]
    findings: list[AuditFinding]

    @property
    def errors(self) -> int:
        """Things that must be fixed; a sample with two counts twice."""
        return sum(one.count for one in self.findings if one.severity == "error")

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "task": self.task,
            "samples": self.samples,
            "states": self.states,
            "ok": self.errors == 0,
            "findings": [finding.to_json() for finding in self.findings],
        }


class Findings:
    """Gathers findings by kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Severity], AuditFinding] = {}

    def add(
        self,
        code: str,
        severity: Severity,
        row: SampleRow | None,
        message: str,
        *,
        hint: str = "",
        subjects: tuple[str, ...] = (),
    ) -> None:
        """Count a sample under a kind; None for a finding about all samples together."""
        finding = self._found.setdefault((code, severity), AuditFinding(code, severity))
        finding.count += 1
        finding.hint = finding.hint or hint
        finding.subjects.update(subjects)
        if len(finding.examples) < _EXAMPLES:
            number, name = (None, "") if row is None else (row.id, row.name)
            finding.examples.append(Example(number, name, message))

    def sorted(self) -> list[AuditFinding]:
        """Errors first, then the most frequent."""
        return sorted(
            self._found.values(), key=lambda one: (_ORDER[one.severity], -one.count, one.code)
        )

    def summary(self) -> dict[str, dict[str, int]]:
        """Counts by severity and kind, for a manifest."""
        counts: dict[str, dict[str, int]] = {f"{severity}s": {} for severity in _ORDER}
        for finding in self.sorted():
            counts[f"{finding.severity}s"][finding.code] = finding.count
        return counts

    def report(self, task: str, count: int, states: dict[str, int]) -> AuditReport:
        """The report over all of them."""
        return AuditReport(task, count, states, self.sorted())
