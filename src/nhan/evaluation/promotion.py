"""Promote: measure candidate and champion on one test set, ask the gate, write the log.

The gate's verdict is only right against the champion it was compared with. The entry is therefore
appended only if the log has not moved since; when somebody else was quicker, everything is decided
again against the new champion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nhan.datasets.read import open_dataset
from nhan.errors import Conflict, GateRefused, NhanError, NotFound, UserError
from nhan.evaluation.evaluate import evaluate, evaluate_package
from nhan.evaluation.gate import Verdict, decide
from nhan.evaluation.gate_words import GATE_WORDS
from nhan.evaluation.record import Evaluation
from nhan.evaluation.sentences import make
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.models.registry import LogState, Promotion, Registry, parse_ref
from nhan.storage import StaleLog
from nhan.workspace import Workspace

# Somebody who loses this many races in a row is not racing people.
_MAX_TURNS = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Promoted:
    """A promotion that happened.

    Attributes:
        number: its entry in the promotion log.
        promotion: the entry.
    """

    number: int
    promotion: Promotion


def promote(
    workspace: Workspace,
    ref: str,
    *,
    because: str = "",
    by: str = "",
    force: bool = False,
    say: Say | None = None,
) -> Promoted:
    """Make a version the champion, if the gate agrees.

    Args:
        workspace: where the models and datasets are.
        ref: `NAME@VERSION`; `NAME` alone is its newest version.
        because: why; kept in the log.
        by: who asks; kept in the log.
        force: promote whatever the gate says; its verdict is still kept in the log.
        say: told what is being done, in words.

    Raises:
        GateRefused: the verdict in words; nothing has changed.
        UserError: forced without a reason.
        Conflict: it is the champion already, or others kept promoting in between.
        NotFound, BadPackage: no such version, or a damaged one.
    """
    if force and not because.strip():
        raise UserError(
            "a forced promotion needs a reason", hint='add --because "why the gate is wrong here"'
        )
    registry = Registry(workspace.store)
    candidate = _candidate(registry, ref)
    name, version = candidate.spec.name, candidate.spec.version
    for _ in range(_MAX_TURNS):
        state = registry.log(name)
        if state.champion == version:
            raise Conflict(f"{candidate.ref} is the champion already", hint=f"nhan models {name}")
        verdict = _judge(workspace, registry, candidate, state, force=force, say=say)
        if not verdict.passed and not force:
            details = {"verdict": verdict.to_dict()}
            raise GateRefused(verdict.words, hint=verdict.hint, details=details)
        promotion = Promotion(
            action="promote" if verdict.passed else "forced",
            version=version,
            previous=state.champion,
            because=because,
            by=by,
            verdict=verdict.to_dict(),
        )
        try:
            number = registry.record(name, promotion, expected=state.number)
        except StaleLog:
            _tell(say, f"{name}'s champion changed meanwhile; deciding again")
            continue
        return Promoted(number, registry.log(name).promotions[number - 1])
    raise Conflict(f"{name}'s champion keeps changing", hint="look at `nhan models` and try again")


def judge(workspace: Workspace, ref: str, *, say: Say | None = None) -> Verdict:
    """What the gate would say of a version now; changes nothing.

    Raises:
        NotFound, BadPackage: no such version, or a damaged one.
    """
    registry = Registry(workspace.store)
    candidate = _candidate(registry, ref)
    return _judge(
        workspace, registry, candidate, registry.log(candidate.spec.name), force=False, say=say
    )


def compare(workspace: Workspace, ref: str, *, say: Say | None = None) -> dict[str, Evaluation]:
    """The records that the gate would decide on, measured or read back.

    Args:
        workspace: where the models and datasets are.
        ref: `NAME@VERSION`; `NAME` alone is its newest version.
        say: told what is being done, in words.

    Returns:
        The `candidate`'s record and, where there is somebody to beat, the `champion`'s, both on
        the same test set.

    Raises:
        NotFound, BadPackage: no such version, or a damaged one.
    """
    registry = Registry(workspace.store)
    candidate = _candidate(registry, ref)
    return _measure(workspace, registry, candidate, registry.log(candidate.spec.name), say)


def _candidate(registry: Registry, ref: str) -> Package:
    """The version meant; a name alone cannot mean the champion here."""
    name, version = parse_ref(ref)
    newest = max(registry.versions(name), default=None)
    return registry.resolve(ref) if version or newest is None else registry.open(name, newest)


def _judge(
    workspace: Workspace,
    registry: Registry,
    candidate: Package,
    state: LogState,
    *,
    force: bool,
    say: Say | None,
) -> Verdict:
    try:
        records = _measure(workspace, registry, candidate, state, say)
    except NhanError as error:
        if not force:
            raise
        # The way out when the champion or its test set is lost: the log says it was not judged.
        words = make(GATE_WORDS, "gate.not_judged", why=error.message)
        return Verdict(False, words, (error.message,))
    return decide(records["candidate"], records.get("champion"), workspace.settings.gate)


def _measure(
    workspace: Workspace,
    registry: Registry,
    candidate: Package,
    state: LogState,
    say: Say | None,
) -> dict[str, Evaluation]:
    champion = _incumbent(workspace, registry, candidate.spec.name, state)
    dataset = _test_set(workspace, candidate, champion)
    records = {"candidate": evaluate(workspace, candidate.ref, dataset)}
    if champion is not None:
        records["champion"] = evaluate_package(workspace, champion, dataset)
    for record in records.values():
        how = "read back" if record.reused else "measured"
        _tell(say, f"{record.ref} on {record.dataset} {record.split}: {how}")
    return records


def _incumbent(
    workspace: Workspace, registry: Registry, name: str, state: LogState
) -> Package | None:
    """Who answers under a name today: the champion, or before the first one the bundled reader."""
    if state.champion is not None:
        return registry.open(name, state.champion)
    bundled = bundled_package() if workspace.settings.serve.bundled else None
    return bundled if bundled is not None and bundled.spec.name == name else None


def _test_set(workspace: Workspace, candidate: Package, champion: Package | None) -> str:
    """The dataset version whose test split judges both.

    A locked test split only grows, so of two versions of a dataset the one that holds the other's
    test pictures is the better judge, whoever was trained on it. Where neither holds the other's,
    the champion's stays the judge: a candidate cannot choose an easier one.
    """
    mine = candidate.spec.dataset
    theirs = champion.spec.dataset if champion is not None else ""
    if not mine and not theirs:
        raise NotFound(
            f"{candidate.ref} does not say which dataset it was trained on",
            hint="train it with `nhan train`, or promote it with --force --because REASON",
        )
    if not (mine and theirs) or mine == theirs:
        return mine or theirs
    my_pictures, their_pictures = _test_pictures(workspace, mine), _test_pictures(workspace, theirs)
    return mine if my_pictures >= their_pictures else theirs


def _test_pictures(workspace: Workspace, dataset: str) -> frozenset[str]:
    rows = open_dataset(workspace.store, dataset).rows("test", pictures=False)
    return frozenset(row.sha256 for row in rows)


def _tell(say: Say | None, words: str) -> None:
    if say is not None:
        say(words)
