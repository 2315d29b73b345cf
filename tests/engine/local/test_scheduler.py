"""The policy alone: no model, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from service.engine.local.recipe import DRAFT_ROWS, FORCED_RUN, UBATCH
from service.engine.local.scheduler import (
    CHUNK,
    MIXED_ANSWERS,
    ScheduledSequence,
    Scheduler,
    Slot,
    Step,
    chunk_size,
    common_length,
    computed_soon,
    neighbours,
    place,
    reusable_tokens,
)


def slots(count: int, **owners: int) -> list[Slot]:
    made = [Slot(number) for number in range(count)]
    for name, owner in owners.items():
        made[int(name.removeprefix("s"))].owner = owner
    return made


def test_a_background_request_leaves_the_last_slot_to_a_person() -> None:
    busy = slots(2, s0=1)
    assert place(busy, [1, 2], exact=False, background=True) is None
    assert place(busy, [1, 2], exact=False, background=False) is not None


def test_busy_slots_stay_neighbours() -> None:
    """A gap would split llama.cpp's batch, so it is filled first, then an end, whatever else was used long ago."""
    gap = place(slots(6, s1=1, s3=2), [1], exact=False, background=False)
    end = place(slots(6, s2=1), [1], exact=False, background=False)
    assert gap is not None
    assert end is not None
    assert gap.slot.number == 2
    assert end.slot.number in (1, 3)


def test_a_prefix_held_by_a_busy_slot_is_copied_and_not_taken() -> None:
    made = slots(3, s0=1)
    made[0].tokens = [5] * 100
    placed = place(made, [5] * 50 + [6], exact=False, background=False)
    assert placed is not None
    assert (placed.slot.number, placed.source.number, placed.reuse) == (1, 0, 50)


def test_the_last_prompt_token_is_always_computed() -> None:
    assert reusable_tokens(Slot(0, [1, 2, 3]), [1, 2, 3], exact=False) == 2


def test_an_exact_request_takes_only_whole_canonical_chunks() -> None:
    slot = Slot(0, [7] * (3 * CHUNK), canonical=2 * CHUNK)
    assert reusable_tokens(slot, [7] * (3 * CHUNK), exact=True) == 2 * CHUNK
    assert reusable_tokens(slot, [7] * (CHUNK + 5), exact=True) == CHUNK


def test_prompts_and_answers_take_turns_and_people_come_before_builds() -> None:
    answering = ScheduledSequence(1, [1], False, False, Slot(0), 1, True)
    build = ScheduledSequence(2, [1] * 10, False, True, Slot(1))
    person = ScheduledSequence(3, [1] * 90, False, False, Slot(2))
    scheduler = Scheduler()
    first, second, third = (scheduler.next([answering, build, person]) for _ in range(3))
    assert first == [Step(((person, CHUNK),))]
    assert second == [Step((), (answering,))]
    assert third == first


def test_exact_sequences_are_never_batched() -> None:
    many = [ScheduledSequence(number, [1], number > 1, False, Slot(number), 1, True) for number in range(4)]
    steps = Scheduler().next(many)
    assert [len(step.sequences) for step in steps] == [2, 1, 1]


@pytest.mark.parametrize(
    ("done", "left", "exact", "fast"),
    [(0, 1000, CHUNK, CHUNK), (CHUNK - 3, 1000, 3, CHUNK), (CHUNK, 5, 5, 5), (CHUNK - 20, 50, 20, 50)],
)
def test_chunks_end_at_multiples_of_the_chunk_in_exact_mode(done: int, left: int, exact: int, fast: int) -> None:
    prompt = [1] * (done + left)
    sizes = [
        chunk_size(ScheduledSequence(1, prompt, exact=mode, background=False, done=done)) for mode in (True, False)
    ]
    assert sizes == [exact, fast]


def prompting(prompt: list[int], done: int, **more: Any) -> ScheduledSequence:
    """A sequence. Its prompt is computed up to `done`, in whole chunks."""
    slot = Slot(0, prompt[:done], canonical=done, owner=1, salt=more.get("salt", ""))
    fields: dict[str, Any] = {"exact": False, "background": False, **more}
    return ScheduledSequence(1, prompt, slot=slot, done=done, **fields)


@pytest.mark.parametrize(
    ("done", "running", "waiting", "tokens"),
    [
        (CHUNK, {}, {}, 300),
        (CHUNK, {"exact": True}, {"exact": True}, 4 * CHUNK),  # 256 of 300
        (320, {}, {}, 0),  # it is there already
        (CHUNK, {"salt": "one"}, {"salt": "other"}, 0),
        (CHUNK, {"background": True}, {}, 0),
        (CHUNK, {"background": True}, {"background": True}, 300),
        (CHUNK, {"answering": True}, {}, 0),
        (CHUNK, {"is_warmup": True, "salt": None}, {}, 0),
    ],
)
def test_a_common_beginning_that_is_being_computed(
    done: int, running: dict[str, Any], waiting: dict[str, Any], tokens: int
) -> None:
    other = prompting([5] * 300 + [6] * 100, done, **running)
    fields: dict[str, Any] = {"exact": False, "background": False, **waiting}
    assert computed_soon(ScheduledSequence(2, [5] * 300 + [7] * 100, **fields), [other]) == tokens


def test_an_exact_request_does_not_wait_for_chunks_of_another_shape() -> None:
    other = prompting([5] * 400, 100)
    assert other.slot is not None
    other.slot.canonical = CHUNK
    assert computed_soon(ScheduledSequence(2, [5] * 400, exact=True, background=False), [other]) == 0


def test_common_finds_the_longest_common_beginning() -> None:
    for size in (0, 1, 63, 64, 99):
        assert common_length([1] * size + [2] * 5, [1] * size + [3] * 9) == size


def test_a_kept_prefix_is_taken_when_no_slot_holds_as_much() -> None:
    """Copied into an empty slot. A free slot with just as many tokens is used in place, and copies nothing."""
    made, kept = slots(2), Slot(9, [5] * 100, canonical=CHUNK)
    placed = place(made, [5] * 90 + [6], exact=False, background=False, kept=[kept])
    assert placed is not None
    assert (placed.slot.number, placed.source, placed.reuse) == (0, kept, 90)
    made[1].tokens = [5] * 95
    placed = place(made, [5] * 90 + [6], exact=False, background=False, kept=[kept])
    assert placed is not None
    assert (placed.slot.number, placed.source, placed.reuse) == (1, made[1], 90)


def test_in_one_cache_a_busy_slot_is_the_source_and_any_free_slot_the_target() -> None:
    """A kept prefix is read into memory of its own, so it is the source only if it is longer."""
    made, kept = slots(5, s1=1), Slot(9, [5] * 90, canonical=CHUNK)
    made[1].tokens, made[4].tokens = [5] * 90 + [7], [8]
    for size, source, number in ((90, made[1], 0), (91, kept, 0)):
        kept.tokens = [5] * size
        placed = place(made, [5] * 95, exact=False, background=False, kept=[kept], shares=True)
        assert placed is not None
        assert (placed.slot.number, placed.source, placed.reuse) == (number, source, size)
    made[4].tokens = [5] * 95
    placed = place(made, [5] * 96, exact=False, background=False, shares=True)
    assert placed is not None
    assert (placed.slot, placed.reuse) == (made[4], 95), "in place, although it is no neighbour of the busy one"


def test_on_a_device_a_slot_is_a_better_source_than_an_equally_long_prefix() -> None:
    made, kept = slots(3, s0=1), Slot(9, [5] * 90, canonical=CHUNK)
    made[0].tokens = [5] * 90 + [7]
    for on_device, source in ((False, kept), (True, made[0])):
        placed = place(made, [5] * 95, exact=False, background=False, kept=[kept], copies_on_device=on_device)
        assert placed is not None
        assert (placed.source, placed.reuse) == (source, 90)


def test_an_exact_request_takes_only_whole_chunks_of_a_kept_prefix() -> None:
    kept = Slot(9, [5] * 100, canonical=CHUNK)
    placed = place(slots(1), [5] * 90 + [6], exact=True, background=False, kept=[kept])
    assert placed is not None
    assert placed.reuse == CHUNK


def test_prefixes_are_decoded_ahead_only_while_no_prompt_waits() -> None:
    ahead = ScheduledSequence(1, [1], False, True, Slot(0), is_warmup=True)
    build = ScheduledSequence(2, [1] * 500, False, True, Slot(1))
    assert Scheduler().next([ahead, build])[0].sequences == (build,)


@pytest.mark.parametrize(("theirs", "ours", "reused"), [("a", "a", 90), ("a", "b", 0), ("", "a", 0), (None, "a", 90)])
def test_a_request_starts_from_its_own_salt_and_from_what_is_for_everybody(
    theirs: str | None, ours: str, reused: int
) -> None:
    """The same in a slot that is free again and in a kept prefix."""
    tokens, prompt = [5] * 100, [5] * 90 + [6]
    in_slot = place([Slot(0, tokens, salt=theirs)], prompt, exact=False, background=False, salt=ours)
    kept = Slot(9, tokens, salt=theirs)
    as_prefix = place([Slot(0)], prompt, exact=False, background=False, salt=ours, kept=[kept])
    assert in_slot is not None
    assert as_prefix is not None
    assert [in_slot.reuse, as_prefix.reuse] == [reused, reused]


def waiting(number: int, size: int, *, background: bool = False, slot: int | None = None) -> ScheduledSequence:
    """A sequence with a prompt of this size, in a slot with its own number unless told."""
    return ScheduledSequence(number, [1] * size, False, background, Slot(number if slot is None else slot))


def test_of_equal_prompts_the_oldest_goes_first_and_of_others_the_shortest() -> None:
    same = [waiting(3, 70), waiting(1, 70), waiting(2, 70)]
    assert Scheduler().next(same)[0].sequences == (same[1],)
    assert Scheduler().next([waiting(1, 90), waiting(2, 89)])[0].sequences[0].id == 2
    begun = waiting(1, 200)
    begun.done = 150
    assert Scheduler().next([waiting(2, 51), begun])[0].sequences == (begun,), "50 are left"


def test_a_step_of_a_prompt_is_one_chunk_and_a_sequence_without_a_slot_is_in_none() -> None:
    queued = ScheduledSequence(1, [1] * 5, False, False)
    assert Scheduler().next([queued]) == []
    begun = waiting(2, 3 * CHUNK)
    begun.done = CHUNK + 3
    assert Scheduler().next([queued, begun]) == [Step(((begun, CHUNK),))]


def test_fast_answers_are_batched_in_the_order_of_their_slots_and_labels_are_alone() -> None:
    def answering(number: int, slot: int, **fields: bool) -> ScheduledSequence:
        sequence = waiting(number, 1, slot=slot)
        sequence.answering, sequence.scoring = True, fields.get("scoring", False)
        sequence.exact = fields.get("exact", False)
        return sequence

    first, second = answering(1, 2), answering(2, 0)
    labels, exact = answering(3, 1, scoring=True), answering(4, 3, exact=True)
    steps = Scheduler().next([first, labels, second, exact])
    assert [[sequence.id for sequence in step.sequences] for step in steps] == [[2, 1], [3], [4]]
    assert not any(step.chunks for step in steps)
    assert [len(step.sequences) for step in Scheduler().next([labels])] == [1]


def test_a_prompt_follows_the_answers_and_answers_follow_it() -> None:
    talking = waiting(1, 1)
    talking.answering = True
    scheduler, prompt = Scheduler(), waiting(2, 500)
    a_chunk, an_answer = [Step(((prompt, CHUNK),))], [Step((), (talking,))]
    assert [scheduler.next([talking, prompt]) for _ in range(4)] == [a_chunk, an_answer] * 2
    alone = Scheduler()
    assert [alone.next([prompt]) for _ in range(3)] == [a_chunk] * 3
    assert [alone.next([talking]), alone.next([talking, prompt])] == [an_answer, a_chunk]


def test_in_one_cache_a_chunk_of_several_prompts_and_all_fast_answers_are_one_batch() -> None:
    def other(number: int, **fields: bool) -> ScheduledSequence:
        sequence = waiting(number, 1, slot=number)
        sequence.answering = True
        sequence.exact, sequence.scoring = fields.get("exact", False), fields.get("scoring", False)
        return sequence

    talking, labels, long, short, build = (
        other(1),
        other(2, scoring=True),
        waiting(3, 500),
        waiting(4, 44),
        waiting(5, 9),
    )
    build.background = True
    scheduler = Scheduler(mixes=True)
    mixed = Step(((short, 44), (long, CHUNK - 45)), (talking,))  # as many tokens as a chunk has
    assert scheduler.next([talking, labels, long, short, build]) == [mixed, Step((), (labels,))]
    assert scheduler.next([talking, labels, long, short, build])[0] == mixed, "no step is left out for answers"
    assert scheduler.next([short, build]) == [Step(((short, 44),))], "nobody waits for a build"
    assert scheduler.next([build, waiting(6, 500, background=True)])[0].sequences[1].id == 6
    assert scheduler.next([talking]) == [Step((), (talking,))]
    many = [other(number) for number in range(10, 50)]
    assert scheduler.next([long, *many]) == [Step(((long, CHUNK // 2),), tuple(many))], (
        "never less than half of a chunk"
    )


@pytest.mark.parametrize("field", ["exact", "has_labels", "reads_all", "is_warmup"])
def test_a_prompt_whose_bits_matter_to_others_is_alone_in_one_cache_too(field: str) -> None:
    alone, talking, short = waiting(1, 20), waiting(2, 1), waiting(3, 30)
    setattr(alone, field, True)
    talking.answering = True
    scheduler = Scheduler(mixes=True)
    if field == "is_warmup":  # it comes last
        assert scheduler.next([alone, talking, short]) == [Step(((short, 30),), (talking,))]
        short.answering = True
    first, second = scheduler.next([alone, talking]), scheduler.next([alone, talking])
    assert (first, second) == ([Step(((alone, 20),))], [Step((), (talking,))])
    if field != "is_warmup":
        assert scheduler.next([alone, talking, short]) == first
        assert scheduler.next([alone, talking, short]) == [Step(((short, 30),), (talking,))], "the others go on mixing"


def test_more_answers_than_the_batch_has_room_for_take_turns_with_prompts() -> None:
    answers = [waiting(number, 1, slot=number) for number in range(MIXED_ANSWERS + 1)]
    for sequence in answers:
        sequence.answering = True
    prompt, scheduler = waiting(99, 500, slot=99), Scheduler(mixes=True)
    assert MIXED_ANSWERS * FORCED_RUN + DRAFT_ROWS + CHUNK <= UBATCH
    assert scheduler.next([prompt, *answers[1:]])[0].chunks
    assert scheduler.next([prompt, *answers[1:]])[0].answers
    steps = [scheduler.next([prompt, *answers])[0] for _ in range(2)]
    assert sorted((len(step.chunks), len(step.answers)) for step in steps) == [(0, MIXED_ANSWERS + 1), (1, 0)]


def test_a_step_loses_the_sequences_that_ended_and_can_be_split() -> None:
    first, second, third = waiting(1, 20), waiting(2, 20), waiting(3, 1)
    step = Step(((first, 20), (second, 20)), (third,))
    assert step.only({2, 3}) == Step(((second, 20),), (third,))
    assert step.only({1}).sequences == (first,)
    assert step.split() == [Step(((first, 20),)), Step(((second, 20),)), Step((), (third,))]


def test_a_background_request_may_take_the_only_slot_there_is() -> None:
    assert place(slots(1), [1], exact=False, background=True) is not None
    assert place(slots(3, s0=1), [1], exact=False, background=True) is not None
    assert place(slots(3, s0=1, s1=2), [1], exact=False, background=True) is None
    assert place(slots(1, s0=1), [1], exact=False, background=False) is None


def test_without_a_common_prefix_an_empty_slot_is_taken_else_the_one_used_longest_ago() -> None:
    made = slots(3)
    made[0].tokens, made[0].used = [9] * 5, 1
    made[1].tokens, made[1].used = [8] * 5, 3
    assert _slot(made, [1, 2]) == 2
    made[2].tokens, made[2].used = [7] * 5, 2
    assert _slot(made, [1, 2]) == 0
    made[0].used = 2
    assert _slot(made, [1, 2]) == 0, "of equals the one with the lowest number"


def _slot(made: list[Slot], prompt: list[int]) -> int:
    placed = place(made, prompt, exact=False, background=False)
    assert placed is not None
    assert (placed.source, placed.reuse) == (placed.slot, 0)
    return placed.slot.number


@pytest.mark.parametrize(("size", "slot"), [(100, 0), (101, 1)])
def test_a_slot_is_used_in_place_if_at_least_half_of_it_is_of_use(size: int, slot: int) -> None:
    """Else its tokens may serve another request, and the common prefix is copied."""
    made = slots(2)
    made[0].tokens = [5] * 50 + [4] * (size - 50)
    placed = place(made, [5] * 50 + [6], exact=False, background=False)
    assert placed is not None
    assert (placed.slot.number, placed.source, placed.reuse) == (slot, made[0], 50)


def test_of_two_slots_with_the_same_prefix_the_neighbour_of_the_busy_ones_is_used() -> None:
    made = slots(4, s3=1)
    made[0].tokens = made[2].tokens = [5] * 10
    placed = place(made, [5] * 10 + [6], exact=False, background=False)
    assert placed is not None
    assert (placed.slot.number, placed.source, placed.reuse) == (2, made[2], 10), "used in place"


def test_a_longer_prefix_of_the_cache_wins_over_a_slot_and_a_shorter_one_does_not() -> None:
    made, prompt = slots(2), [5] * 30 + [6]
    made[0].tokens = [5] * 20
    for length, source, reuse in ((30, "cache", 30), (10, "slot", 20)):
        cached = Slot(9, [5] * length)
        placed = place(made, prompt, exact=False, background=False, kept=[Slot(8, [5] * 2), cached])
        assert placed is not None
        assert (placed.source is cached, placed.reuse) == (source == "cache", reuse)


def test_free_slots_next_to_the_busy_ones() -> None:
    assert [slot.number for slot in neighbours(slots(4))] == [0, 1, 2, 3]
    assert [slot.number for slot in neighbours(slots(5, s1=1, s3=2))] == [2]
    assert [slot.number for slot in neighbours(slots(6, s2=1, s3=2))] == [1, 4]
    assert [slot.number for slot in neighbours(slots(3, s0=1))] == [1]


def test_a_copy_does_not_go_into_its_own_source_while_there_is_another_slot() -> None:
    made = slots(2)
    made[0].tokens = [5] * 50 + [4] * 100
    made[1].tokens, made[1].used = [3] * 9, 7
    placed = place(made, [5] * 50 + [6], exact=False, background=False)
    assert placed is not None
    assert (placed.slot.number, placed.source, placed.reuse) == (1, made[0], 50)


def test_of_equal_prefixes_the_one_of_the_cache_is_copied() -> None:
    """Reading a busy slot's state costs more than taking the bytes that are there."""
    made, cached = slots(2, s0=1), Slot(9, [5] * 20)
    made[0].tokens = [5] * 20
    placed = place(made, [5] * 20 + [6], exact=False, background=False, kept=[cached])
    assert placed is not None
    assert (placed.source, placed.reuse) == (cached, 20)


def test_a_new_slot_holds_nothing_and_a_new_sequence_has_computed_nothing() -> None:
    slot, sequence = Slot(3), ScheduledSequence(1, [1, 2], False, False)
    assert (slot.tokens, slot.canonical, slot.owner, slot.used, slot.salt) == ([], 0, None, 0, "")
    assert (sequence.slot, sequence.done, sequence.left, sequence.salt) == (None, 0, 2, "")
    assert (sequence.answering, sequence.scoring, sequence.is_warmup) == (False, False, False)
    assert Scheduler().next([sequence]) == []
    sequence.slot, sequence.answering = slot, True
    assert Scheduler().next([sequence]) == [Step((), (sequence,))]
