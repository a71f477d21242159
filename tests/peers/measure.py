"""Two sides in turns: every round asks both, in changing order, so that what a machine does meanwhile meets both."""
import dataclasses
import math
import statistics


@dataclasses.dataclass
class Sides:
    """Seconds of each round, and what else our side said at last; theirs is empty where there is none."""
    ours: list
    theirs: list
    said: dict
    why_not: str = ""

    @property
    def seconds(self):
        return statistics.median(self.ours)

    @property
    def their_seconds(self):
        return statistics.median(self.theirs) if self.theirs else None

    def ratios(self):
        """Of each round: how many times as fast as theirs ours is."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs)]

    def ratio(self):
        return statistics.median(self.ratios()) if self.theirs else None

    def spread(self):
        """The least and the largest ratio of a round."""
        return (min(self.ratios()), max(self.ratios())) if self.theirs else (None, None)


def in_turns(ask_ours, ask_theirs, rounds):
    """Each asks for {"seconds": ...} or {"error": why it cannot}; ask_theirs may be None. An error of ours is final."""
    sides = Sides([], [], {})
    for n in range(rounds):
        for ask in (ask_ours, ask_theirs) if n % 2 == 0 else (ask_theirs, ask_ours):
            if ask is None or (ask is ask_theirs and sides.why_not):
                continue
            answer = ask()
            if ask is ask_ours:
                if "error" in answer:
                    raise SystemExit(f"fovea: {answer['error']}")
                sides.ours.append(answer["seconds"])
                sides.said = answer
            elif "error" in answer:
                sides.why_not = answer["error"]
            else:
                sides.theirs.append(answer["seconds"])
    return sides


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))
