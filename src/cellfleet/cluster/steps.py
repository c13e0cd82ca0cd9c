"""A plan of steps towards a cluster, or away from it: each can tell whether it is done, so a plan may be repeated.

A step that is done is left alone; one that is under way (a former call was cut off while the provider went on) is
waited for; after a step was carried out it is looked at again. The first command that fails ends the plan with its own
words. Knows no provider.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cellfleet.cluster.programs import Answer, Command, Run, line_of
from cellfleet.errors import ClusterError

State = Literal["done", "missing", "different", "busy", "broken"]
"""`different`: there, but not as the description wants it. `busy`: the provider is at it."""
Event = Literal["done", "begin", "wait", "end", "change"]

_LOOK_SECONDS: Final = 10.0
_LONGEST_WAIT_SECONDS: Final = 45 * 60.0
"""A cluster takes 5 to 10 minutes; longer than this, something hangs."""
_SETTLE_LOOKS: Final = 6
"""How often a step that ended well is looked at until it shows: providers tell it a little later."""


@dataclass(frozen=True)
class Found:
    """What a look at a step found."""

    state: State
    detail: str = ""
    """For people: what is different or broken."""
    change: Command | None = None
    """What makes a different thing right; None: the step's own command does."""


@dataclass(frozen=True)
class Step:
    """One thing to have, or to be rid of."""

    name: str
    """Of the thing, short: "GPU pool"."""
    what: str
    """What is done, for people: a sentence without full stop."""
    command: Command
    look: tuple[Command, ...]
    """Commands that tell how things are; they change nothing."""
    found: Callable[[tuple[Answer, ...]], Found]
    """What their answers mean."""
    usd_per_hour: tuple[float, float] | None = (0.0, 0.0)
    """What it costs from then on, idle and at most; None: not known."""
    minutes: float = 0.0
    """How long it usually takes; 0: seconds."""
    tries: int = 1
    """How often a command that fails is called before that is taken for an answer."""


@dataclass(frozen=True)
class Clock:
    """Time, which tests do not wait for."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


Tell = Callable[[Event, Step, str], None]
"""Is told how a plan goes: event, step, detail."""
Advise = Callable[[str], str]
"""A program's words → what can be done about it; "": nothing known."""


@dataclass(frozen=True)
class Carrier:
    """Carries plans out."""

    run: Run
    tell: Tell
    advise: Advise = lambda words: ""
    clock: Clock = Clock()

    def carry_out(self, steps: Sequence[Step]) -> int:
        """Carry out what is not done yet, in order; return how many steps there were to do.

        Raises:
            ClusterError: E712, E713, E714. What was done stands; the same call goes on from there.
        """
        return sum(self._one(step) for step in steps)

    def look(self, step: Step) -> Found:
        """Look how a step stands. Changes nothing."""
        return step.found(tuple(self.run(command) for command in step.look))

    def _one(self, step: Step) -> bool:
        found = self._settled(step)
        if found.state == "done":
            self.tell("done", step, found.detail)
            return False
        if found.state == "broken":
            raise _broken(step, found)
        last: Command | None = None
        while found.state in {"missing", "different"} and (command := found.change or step.command) != last:
            self.tell("change" if found.state == "different" else "begin", step, found.detail)
            self._call(step, command)
            found, last = self._shown(step, command), command
        if found.state != "done":
            raise _broken(step, found)
        self.tell("end", step, found.detail)
        return True

    def _shown(self, step: Step, carried_out: Command) -> Found:
        """Look until what a command did shows."""
        found = self._settled(step)
        for _ in range(_SETTLE_LOOKS):
            if found.state in {"done", "broken"} or (found.change or step.command) != carried_out:
                break
            self.clock.sleep(_LOOK_SECONDS)
            found = self._settled(step)
        return found

    def _call(self, step: Step, command: Command) -> None:
        for left in reversed(range(step.tries)):
            answer = self.run(command)
            # Somebody else did it meanwhile, or a call that was cut off.
            if answer.code == 0 or self.look(step).state in {"done", "busy"}:
                return
            if left:
                self.clock.sleep(_LOOK_SECONDS)
        what = f"{step.name}: '{line_of(command[:4])} …' failed: {answer.words or f'exit code {answer.code}'}"
        hint = self.advise(answer.words) or f"The whole command: {line_of(command)}"
        raise ClusterError("E713", what, action=f"{hint}. Then run the same cellfleet command again: it goes on there")

    def _settled(self, step: Step) -> Found:
        """Look until the provider is not at it any more."""
        found, begun = self.look(step), self.clock.now()
        if found.state == "busy":
            self.tell("wait", step, found.detail)
        while found.state == "busy":
            if self.clock.now() - begun > _LONGEST_WAIT_SECONDS:
                what = (
                    f"{step.name}: is still not ready after {_LONGEST_WAIT_SECONDS / 60:.0f} minutes ({found.detail})"
                )
                raise ClusterError("E714", what, action="Look at it in the provider's console, then run this again")
            self.clock.sleep(_LOOK_SECONDS)
            found = self.look(step)
        return found


def _broken(step: Step, found: Found) -> ClusterError:
    what = f"{step.name}: {found.detail or 'the command ended well, but what it should have made is not there'}"
    looked = "; ".join(line_of(command) for command in step.look)
    return ClusterError("E714", what, action=f"Seen by: {looked}. Mend or delete it, then run this again")
