"""Follows the promotion logs: loads, warms, checks and swaps, without dropping a request.

A package that cannot be loaded never replaces one that answers: it is refused, logged, counted,
and tried again only when the log says something new.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from nhan.errors import NhanError, NotFound, StorageError
from nhan.models.package import Package
from nhan.models.registry import Registry, parse_ref
from nhan.serving.engine.dispatch import Dispatcher
from nhan.serving.engine.lane import Lane
from nhan.serving.roster import Deployment, Roster
from nhan.serving.trials import Trials

log = logging.getLogger("nhan.serving.live")

# A version that was replaced is kept this long after its last request, in case one is on its way.
_LINGER_S = 0.2
# A store that cannot be reached is asked again, more and more rarely.
_LONGEST_PAUSE_S, _MAX_DOUBLINGS = 30.0, 16


@dataclass(frozen=True)
class Refusal:
    """A promoted version that could not go live."""

    key: str
    reason: str
    at: float


class Live:
    """Keeps the roster equal to what the promotion logs say.

    Args:
        registry: the models of the workspace; None where there is no workspace.
        bundled: the reader that comes with the package, answering while its name has no champion.
        dispatcher: whose lanes load the models.
        roster: what answers.
        cache: a private folder; packages are copied there, checked, so that a worker that starts
            later loads the very bytes that were checked.
        poll_s: how often the logs are looked at.
        trials: candidates to load beside the champions.
        on_swap: called with the model's name after each swap.
        on_refusal: called with each version that could not go live.

    Attributes:
        refusals: versions that could not go live, by model, until another one does.
        trouble: why the logs could not be followed at the last look; empty where they could.
        first_look: set after the first look.
    """

    def __init__(
        self,
        registry: Registry | None,
        bundled: Package | None,
        dispatcher: Dispatcher,
        roster: Roster,
        *,
        cache: Path,
        poll_s: float,
        trials: Trials | None = None,
        on_swap: Callable[[str], None] = lambda _: None,
        on_refusal: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        self.poll_s = poll_s
        self.refusals: dict[str, Refusal] = {}
        self.trouble = ""
        self.first_look = asyncio.Event()
        self._registry = registry
        self._bundled = bundled
        self._dispatcher = dispatcher
        self._roster = roster
        self._cache = cache
        self._trials = trials or Trials()
        self._on_swap = on_swap
        self._on_refusal = on_refusal
        self._seen: dict[str, int] = {}
        self._folders: dict[str, Path] = {}
        self._loads = count(1)
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._missed = ""

    async def run(self) -> None:
        """Look at the logs for ever."""
        failures = 0
        while True:
            try:
                await self.refresh()
                await self._tell_missing_default()
                failures, self.trouble = 0, ""
            except StorageError as error:
                failures, self.trouble = failures + 1, error.message
                log.warning("cannot look for promotions: %s", error.message)
            except Exception as error:
                failures, self.trouble = failures + 1, _reason(error)
                log.exception("looking for promotions failed")
            self.first_look.set()
            await asyncio.sleep(self._pause_s(failures))

    def _pause_s(self, failures: int) -> float:
        # The exponent is bounded too: a store that is away for a night fails a thousand times.
        longest = max(self.poll_s, _LONGEST_PAUSE_S)
        return min(self.poll_s * 2.0 ** min(failures, _MAX_DOUBLINGS), longest)

    async def refresh(self) -> None:
        """Look at every log once and follow what it says.

        Raises:
            StorageError: the store is out of reach; what answers goes on answering.
        """
        async with self._changing:
            if self._registry is not None:
                news = await asyncio.to_thread(_news, self._registry, dict(self._seen))
                for name, entry in news.items():
                    await self._follow(name, entry)
            bundled = self._bundled
            names = {deployment.name for deployment in self._roster.champions}
            if bundled is not None and bundled.spec.name not in names:
                await self._follow_bundled(bundled)
            await self._follow_trials()

    async def _tell_missing_default(self) -> None:
        """Say once that the default model does not answer: a typo would be silent.

        It is no reason not to serve: services are started before their first promotion.
        """
        name = "" if self._roster.has_default else self._roster.default_model
        if name and name != self._missed:
            versions: list[int] = []
            others = [one.name for one in self._roster.champions]
            if self._registry is not None:
                versions, kept = await asyncio.to_thread(_kept, self._registry, name)
                others = sorted({*others, *kept})
            log.error(
                "no model %r answers, and serve.model (--model) makes it the default: the server "
                "is not ready; %s",
                name,
                f"nhan promote {name}@{versions[-1]}"
                if versions
                else f"models: {', '.join(others) or 'none'}",
            )
        self._missed = name

    async def prepare(self, lane: Lane) -> None:
        """Load every deployment on a new lane and let it take part.

        Raises:
            NhanError: a model that answers elsewhere cannot be loaded on it.
        """
        async with self._changing:
            for key, folder in self._folders.items():
                await lane.load(key, folder)
            self._dispatcher.attach(lane)

    async def _follow(self, name: str, entry: _News) -> None:
        if isinstance(entry.version, Exception):
            self._refuse(f"{name}@?", entry.version)
        else:
            try:
                await self._go_live(await self._open(name, entry.version))
            except StorageError:
                raise  # nothing is known of the version; look again
            except Exception as error:
                self._refuse(f"{name}@{entry.version}", error)
        self._seen[name] = entry.number

    async def _follow_bundled(self, package: Package) -> None:
        try:
            await self._go_live(package)
        except StorageError:
            raise  # the disk is full, not the package damaged
        except Exception as error:
            self._bundled = None  # it will not get better
            self._refuse(package.ref, error)

    async def _follow_trials(self) -> None:
        trials = self._trials
        for key in set(trials.loaded) - trials.wanted:
            deployment = trials.loaded.pop(key)
            self._roster.remove_trial(deployment)
            self._retire_later(deployment)
        for key in trials.wanted - set(trials.loaded) - set(trials.failures):
            name, version = parse_ref(key)
            try:
                package = await self._open(name, version or 0)
                deployment = self._deployment(package)
                await self._load(key, package)
            except StorageError:
                raise
            except Exception as error:
                trials.failures[key] = _reason(error)
                log.error("%s cannot be tried: %s", key, trials.failures[key])
            else:
                trials.loaded[key] = deployment
                self._roster.add(deployment)

    async def _open(self, name: str, version: int) -> Package:
        if self._registry is None:
            raise NotFound(
                f"there is no workspace with {name}@{version}", hint="nhan serve in a workspace"
            )
        return await asyncio.to_thread(self._registry.open, name, version)

    async def _go_live(self, package: Package) -> None:
        wanted = self._deployment(package)
        name, key = wanted.name, wanted.key
        current = next((one for one in self._roster.champions if one.name == name), None)
        if current is not None and current.key == key:
            self.refusals.pop(name, None)
            return
        await self._load(key, package)
        self.refusals.pop(name, None)
        before = self._roster.crown(wanted)
        log.info("%s answers now%s", key, f", after {before.key}" if before else "")
        self._on_swap(name)
        if before is None:
            return
        if (tried := self._trials.loaded.get(before.key)) is not None:
            self._roster.add(tried)  # it was on trial when it went live, and still is
        else:
            self._retire_later(before)

    def _deployment(self, package: Package) -> Deployment:
        spec, is_bundled = package.spec, package is self._bundled
        return Deployment(spec.name, str(spec.version), spec.task, spec.serve, is_bundled)

    async def _load(self, key: str, package: Package) -> None:
        """Load a version on every lane that has not got it.

        Raises:
            NhanError: it is damaged, or a lane cannot run it; all is as it was.
        """
        if key in self._folders:
            return  # it was only just replaced, or it is on trial
        # A folder of its own for every load: that of an earlier one may be being removed.
        folder = self._cache / f"{key}-{next(self._loads)}"
        try:
            await asyncio.to_thread(package.copy_to, folder)
            await self._dispatcher.load(key, folder)
        except Exception:
            await asyncio.to_thread(shutil.rmtree, folder, True)
            raise
        self._folders[key] = folder

    def _retire_later(self, deployment: Deployment) -> None:
        leaving = asyncio.create_task(self._retire(deployment))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _retire(self, deployment: Deployment) -> None:
        """Unload a version once its last request is answered."""
        await asyncio.sleep(_LINGER_S)
        while deployment.in_flight:
            await asyncio.sleep(_LINGER_S)
        async with self._changing:
            answering = [*self._roster.champions, *self._roster.others]
            if any(one.key == deployment.key for one in answering):
                return  # it was brought back meanwhile
            folder = self._folders.pop(deployment.key, None)
            self._dispatcher.unload(deployment.key)
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, True)

    def _refuse(self, key: str, error: Exception) -> None:
        refusal = Refusal(key, _reason(error), time.time())
        self.refusals[key.partition("@")[0]] = refusal
        log.error("%s was promoted but cannot answer: %s", key, refusal.reason)
        self._on_refusal(refusal)


def _kept(registry: Registry, name: str) -> tuple[list[int], list[str]]:
    """The versions of a model, and the names of all."""
    names = registry.models()
    return (registry.versions(name) if name in names else []), names


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, NhanError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class _News:
    number: int
    version: int | Exception


def _news(registry: Registry, seen: dict[str, int]) -> dict[str, _News]:
    """Models whose log has grown, by name."""
    news: dict[str, _News] = {}
    for name in registry.names():
        number = registry.log_number(name)
        if number <= seen.get(name, 0):
            continue
        try:
            champion = registry.champion(name)
        except StorageError:
            raise
        except Exception as error:  # an entry that is no JSON, or not what an entry must be
            news[name] = _News(number, error)
        else:
            if champion is not None:
                news[name] = _News(number, champion)
    return news
