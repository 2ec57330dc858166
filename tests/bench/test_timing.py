"""The harness on a clock that the contenders move themselves: order, medians, ratios, agreement, goals."""

import dataclasses

import numpy as np
import pytest

from geoattn_jax.bench import timing
from geoattn_jax.bench.suite import Case, Contender, Goal


class Clock:
    """A clock that stands still except while a contender computes."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def contender(self, name, durations, *, computes="it", result=(1.0, 2.0), temp_bytes=None, part=1.0):
        """Takes the given seconds, one after the other; the last one from then on."""
        left = list(durations)

        def call():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return np.array(result)

        return Contender(name, computes, call, lambda array: {"output": array}, temp_bytes, part)


@pytest.fixture
def clock():
    return Clock()


def test_rounds_alternate_in_order_and_direction(clock):
    contenders = [clock.contender(name, [1.0]) for name in ("a", "b", "c")]
    timing.time_in_turns(contenders, rounds=3, clock=clock)
    calibration = ["a", "b", "c"]
    assert clock.calls == [*calibration, "a", "b", "c", "c", "b", "a", "a", "b", "c"]


def test_a_short_call_is_repeated_until_the_timing_is_long_enough(clock):
    quick, slow = clock.contender("quick", [0.004]), clock.contender("slow", [0.3])
    seconds, repeats = timing.time_in_turns([quick, slow], rounds=2, clock=clock)
    assert repeats == {"quick": 13, "slow": 1}
    assert seconds["quick"] == pytest.approx([0.004, 0.004])


def test_a_contender_that_takes_no_time_at_all_is_timed_all_the_same(clock):
    seconds, _ = timing.time_in_turns([clock.contender("nothing", [0.0])], rounds=1, clock=clock)
    assert seconds == {"nothing": [0.0]}


def test_queued_calls_are_waited_for_together(clock):
    waited = []
    queued = dataclasses.replace(clock.contender("queued", [0.01]), wait=waited.append)
    _, repeats = timing.time_in_turns([queued], rounds=2, clock=clock)
    assert repeats == {"queued": 5}
    assert len(waited) == 3  # of the calibration, and of each round


def test_ratios_are_taken_within_rounds(clock):
    # One agreement call and one of calibration, then the rounds: the third is disturbed.
    ours = clock.contender("ours", [1, 1, 2, 3, 40, 5, 6], temp_bytes=3 * 2**20)
    rival = clock.contender("rival", [1, 1, 1, 2, 10, 2, 3])
    goals = [Goal(2.0, "rival"), Goal(1.9, "rival"), Goal(1.0, "absent")]
    goals += [Goal(bound, measure="temporary MiB") for bound in (3.0, 2.9)]
    goals += [Goal(bound, measure="milliseconds") for bound in (5000.0, 4999.0)]
    result = timing.measure(Case("W", "forward", [ours, rival], goals), rounds=5, clock=clock)
    assert [entry["name"] for entry in result["contenders"]] == ["ours", "rival"]
    first, second = result["contenders"]
    assert first["seconds"] == [2, 3, 40, 5, 6]
    assert first["milliseconds"] == {"median": 5000, "q1": 3000, "q3": 6000}
    assert first["temporary_mib"] == 3
    assert first["ours_over_this"] == {"median": 1, "q1": 1, "q3": 1}
    assert second["temporary_mib"] is None
    assert second["ours_over_this"] == {"median": 2, "q1": 2, "q3": 2.5}  # of medians: 5 / 2
    assert [goal["met"] for goal in result["goals"]] == [True, False, None, True, False, True, False]
    assert [goal["value"] for goal in result["goals"]] == [2, 2, None, 3, 3, 5000, 5000]


def test_a_rival_may_do_a_part_and_is_timed_for_the_whole(clock):
    contenders = [clock.contender("ours", [6.0]), clock.contender("rival", [1.0], part=0.1)]
    result = timing.measure(Case("W", "forward", contenders), rounds=2, clock=clock)
    rival = result["contenders"][1]
    assert (rival["milliseconds"]["median"], rival["ours_over_this"]["median"]) == (10000, 0.6)
    assert rival["part"] == 0.1


def test_parts_are_timed_after_the_whole_and_leave_a_rest(clock):
    parts = {name: clock.contender(name, [seconds]).call for name, seconds in (("x", 1.0), ("y", 2.0))}
    # One agreement call and one of calibration, then the rounds.
    whole = dataclasses.replace(clock.contender("whole", [9, 9, 4, 6]), parts=parts)
    result = timing.measure(Case("W", "forward", [whole]), rounds=2, clock=clock)
    assert clock.calls[1:] == ["whole", "whole", "whole", "x", "y", "x", "y", "y", "x"]
    medians = {part: summary["median"] for part, summary in result["contenders"][0]["parts"].items()}
    assert medians == {"x": 1000, "y": 2000, "the rest": 2000}
    assert [contender["name"] for contender in result["contenders"]] == ["whole"]


def test_of_several_rivals_the_fastest_counts(clock):
    rivals = [clock.contender(f"torch, {way}", [seconds]) for way, seconds in (("slow", 4.0), ("fast", 2.0))]
    contenders = [clock.contender("ours", [3.0]), *rivals, clock.contender("another", [1.0])]
    result = timing.measure(Case("W", "forward", contenders, [Goal(1.0, "torch")]), rounds=2, clock=clock)
    assert result["goals"][0]["value"] == 1.5
    assert not result["goals"][0]["met"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ((1.0, 2.001), "W forward: rival and ours differ in the output by 5.0e-04 of its largest number"),
        ((1.0, float("nan")), "rival and ours differ in the output"),
        ((1.0, 2.0, 3.0), "rival and ours differ in the output"),
    ],
)
def test_contenders_that_disagree_are_told(clock, result, message):
    contenders = [clock.contender("ours", [1.0]), clock.contender("rival", [1.0], result=result)]
    measured = timing.measure(Case("W", "forward", contenders), rounds=1, clock=clock)
    assert message in measured["disagreement"]
    agreeing = Case("W", "forward", contenders[:1])
    assert timing.measure(agreeing, rounds=1, clock=clock)["disagreement"] is None


def test_rounding_is_no_disagreement(clock):
    contenders = [clock.contender("ours", [1.0]), clock.contender("rival", [1.0], result=(1.00001, 2.0))]
    timing.check_agreement(Case("W", "forward", contenders))


def test_only_contenders_of_the_same_computation_are_compared(clock):
    contenders = [
        clock.contender("ours", [1.0]),
        clock.contender("plain", [1.0], computes="something simpler", result=(7.0,)),
        clock.contender("plain too", [1.0], computes="something simpler", result=(8.0,)),
    ]
    with pytest.raises(timing.Disagreement, match="plain too and plain differ"):
        timing.check_agreement(Case("W", "forward", contenders))


def test_missing_gradients_are_a_disagreement(clock):
    ours, rival = clock.contender("ours", [1.0]), clock.contender("rival", [1.0])
    rival = Contender("rival", "it", rival.call, lambda array: {"output": array, "gradient of image": array})
    with pytest.raises(timing.Disagreement, match="gradient of image"):
        timing.check_agreement(Case("W", "forward+backward", [ours, rival]))
