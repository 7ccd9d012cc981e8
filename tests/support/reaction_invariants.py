"""What must hold of what the server does by itself: looks for invariants.py."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.support import naive
from tests.support.job_invariants import Seen

_ACTOR: Final = "server:retry"
_FAILED: Final = {"execution.completed", "execution.timed_out", "execution.lost"}


def _retries(seen: Seen) -> Iterator[str]:
    """An automatic retry is of a failure, and the first retry of it."""
    before: Counter[object] = Counter()
    ended = set()
    for event in seen.log:
        stream = event["stream_id"]
        if event["type"] in _FAILED or event["type"] == "execution.not_started":
            ended.add(stream)
        if event["type"] != "execution.retried":
            if event["actor"] == _ACTOR and naive.payload(event)["triggered_by"] != "retry":
                yield f"execution {stream}: the server made it by itself, and as no retry"
            continue
        if event["actor"] == _ACTOR and (before[stream] or stream not in ended):
            yield f"execution {stream}: it was retried by the server though it need not be"
        before[stream] += 1


def _followers(seen: Seen) -> Iterator[str]:
    """No follower has acted on what is not there."""
    head = len(seen.log) and seen.log[-1]["position"]
    for row in seen.rows("SELECT name, position FROM store.followers"):
        if row["position"] > head:
            yield f"follower {row['name']}: is at {row['position']}, and the log ends at {head}"


LOOKS: Final = (_retries, _followers)
