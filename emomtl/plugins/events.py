"""Events of a run: emitted to the plugins that listen, with the time that each listener takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.plugins.offers import Plugin

SLOW_SECONDS, SLOW_SHARE = 5.0, 0.05
"""A plugin is slow if its listeners took more than both: seconds, and a share of the run's time."""


@dataclass
class ListenerTime:
    """How long one plugin took over one event: calls, seconds of all calls, and of the slowest."""

    plugin: str
    event: str
    calls: int = 0
    seconds: float = 0.0
    slowest: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a call."""
        self.calls += 1
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)

    def __str__(self) -> str:
        calls = f"{self.calls:,} call{'' if self.calls == 1 else 's'}"
        times = f"{self.seconds:.3f} s, the slowest {self.slowest:.3f} s"
        return f"{self.plugin} in {self.event}: {calls}, {times}"


class Events:
    """Emits the events of one run in this process, and measures what they cost."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], ListenerTime] = {}
        self._reported: set[str] = set()
        self._began = time.monotonic()

    def emit(self, event: str, plugins: Iterable[Plugin], facts: dict[str, Any]) -> list[Any]:
        """Call an event hook of every plugin that has it; returns their answers.

        A listener that raises ends the run with an error that names the plugin.
        """
        answers: list[Any] = []
        for plugin in plugins:
            hook = getattr(plugin.manager.hook, event)
            if not hook.get_hookimpls():
                continue
            key = (plugin.label, event)
            listener_time = self._times.setdefault(key, ListenerTime(plugin.label, event))
            began = time.perf_counter()
            try:
                answers += hook(**facts)
            except Exception as error:
                found = f"raised {type(error).__name__} in {event}: {clean(str(error), 200)}"
                remedy = "mend the plugin, or take it out of the manifest"
                raise EmomtlError(Problem(f"plugin {plugin.label}", found, remedy)) from error
            finally:
                listener_time.add(time.perf_counter() - began)
        return answers

    @property
    def listener_times(self) -> list[ListenerTime]:
        """What each event cost in each plugin that listens to it."""
        return list(self._times.values())

    def new_slow_listeners(self) -> list[str]:
        """A sentence for each plugin that has become slow since the last call."""
        seconds_by_plugin: dict[str, float] = defaultdict(float)
        for listener in self.listener_times:
            seconds_by_plugin[listener.plugin] += listener.seconds
        elapsed = time.monotonic() - self._began
        sentences = []
        for plugin, seconds in seconds_by_plugin.items():
            if plugin in self._reported or seconds <= max(SLOW_SECONDS, SLOW_SHARE * elapsed):
                continue
            self._reported.add(plugin)
            parts = [
                f"{listener.event} {listener.calls:,} times, {listener.seconds:.1f} s"
                for listener in self.listener_times
                if listener.plugin == plugin
            ]
            taken = f"has taken {seconds:.1f} of {elapsed:.1f} s so far"
            sentences.append(f"slow listener: plugin {plugin} {taken} ({'; '.join(parts)})")
        return sentences
