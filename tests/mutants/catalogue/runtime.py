"""Bugs in the runtime: what is read, decided, committed and published once, whoever owns a partition."""

from __future__ import annotations

from typing import Final

from mutants.mutant import Mutant, Part

_OF_THE_TALLY: Final = "integration/test_messaging_"

BATCHES: Final = (
    Mutant(
        "published-before-commit",
        "what was decided is published although the commit may still fail",
        "messaging/worker.py",
        "                work.settle(batch, item, found, id(item) in condemned)\n            return work",
        "                work.settle(batch, item, found, id(item) in condemned)\n            self.unpublished.extend(work.commit.outbox)\n            return work",
        likely="integration/test_messaging_outbox.py::test_what_is_said_is_published_in_the_order_of_deciding_and_numbered_without_gaps -k memory",
    ),
    Mutant(
        "marked-before-acknowledged",
        "rows of the outbox count as published before the broker has acknowledged them",
        "messaging/worker.py",
        '        with self._meters.phase("publish"):',
        '        self.published_seq = max(self.published_seq, wires[-1].seq)\n        with self._meters.phase("publish"):',
        likely="integration/test_messaging_outbox.py::test_what_the_broker_has_not_acknowledged_is_never_recorded_as_published -k memory",
    ),
    Mutant(
        "forgotten-before-acknowledged",
        "what is being published is forgotten before it is known to be there",
        "messaging/worker.py",
        '        with self._meters.phase("publish"):',
        '        self.unpublished.clear()\n        with self._meters.phase("publish"):',
        likely=f"{_OF_THE_TALLY}outbox.py -k memory",
    ),
    Mutant(
        "predecessors-outbox-left-behind",
        "what the last owner left unpublished is never published",
        "messaging/worker.py",
        "await self._queue_outbox(self.published_seq)",
        "await self._queue_outbox(ownership.next_seq)",
        likely=f"{_OF_THE_TALLY}outbox.py::test_the_next_owner_first_publishes_what_its_predecessor_left -k memory",
    ),
    Mutant(
        "lost-tail-overlooked",
        "a broker that has lost what this service wrote is not found out",
        "messaging/tail.py",
        "offset >= output_ends.get(topic, offset + 1)",
        "offset > output_ends.get(topic, offset + 1)",
        likely=f"{_OF_THE_TALLY}outbox.py::test_where_the_broker_lost_only_what_this_service_wrote_that_is_published_again -k memory",
    ),
    Mutant(
        "lost-tail-hidden-by-new-records",
        "a broker that loses its tail while the partition keeps its owner is not found out by the next publication",
        "messaging/worker.py",
        "if any(row.offset <= self.acked.get(row.topic, -1) for row in here):",
        "if any(row.offset < 0 for row in here):",
        likely=f"{_OF_THE_TALLY}outbox.py::test_a_tail_that_is_lost_while_the_partition_stays_is_found_by_the_next_publication -k memory",
    ),
    Mutant(
        "queued-anew-taken-for-published",
        "rows that are queued anew while others are being published are taken for published with them",
        "messaging/unpublished.py",
        "if not self._rows or self._rows[0].seq != head[0].seq:",
        "if not self._rows:",
        likely=f"{_OF_THE_TALLY}outbox.py::test_a_publication_under_way_takes_nothing_with_it_of_what_is_queued_again -k memory",
    ),
    Mutant(
        "word-on-anybodys-record",
        "an operator's word about a letter is heeded on whatever record carries it",
        "messaging/deciding.py",
        "return head is None or (record.key, record.value) == (head.key, head.value)",
        "return True",
        likely=f"{_OF_THE_TALLY}lanes.py::test_a_word_on_another_record_than_the_letters_own_is_not_heeded -k memory",
    ),
    Mutant(
        "memory-survives-a-change-of-owner",
        "what was in memory when the partition went to another owner is still there when it comes back",
        "messaging/worker.py",
        "        self._handler.forget(self.partition)\n        self.buffers.clear()",
        "        self.buffers.clear()",
        likely="system/test_change_of_owner.py::test_orders_that_another_process_has_gone_on_with_are_read_anew",
    ),
    Mutant(
        "lost-outcome",
        "the end of an effect is not recorded: the next owner does it again",
        "messaging/deciding.py",
        "commit.effects_done.append(message.data.effect_id)",
        "commit.effects_done.clear()",
        likely=f"{_OF_THE_TALLY}runtime.py::test_an_effect_outlives_its_process_and_ends_once -k memory",
    ),
    Mutant(
        "overlapping-reads-handled-twice",
        "records that were delivered again are not passed over",
        "messaging/schedule.py",
        "if record.offset >= after:",
        "if record.offset >= 0:",
        likely="unit/test_messaging_schedule.py::test_overlapping_reads_come_to_each_record_once_in_order",
    ),
    Mutant(
        "two-messages-of-one-decision-share-an-id",
        "ids of what one decision says are the same, so all but one count as repeats",
        "messaging/stamp.py",
        "derived_id(service, cause.uid, cause.id, str(index), str(seq))",
        "derived_id(service, cause.uid, cause.id)",
        likely="system/test_approval.py::test_an_approved_order_is_charged_once_shipped_and_confirmed_by_one_mail -k v2-in-turn",
    ),
    Mutant(
        "misplaced-command-decided-where-it-is",
        "a command on another partition than its key's is decided beside its order",
        "messaging/decoding.py",
        "if target != record.partition:",
        "if target != record.partition and isinstance(found, InvalidCommand):",
        likely=f"{_OF_THE_TALLY}outbox.py::test_a_misplaced_command_goes_on_unchanged_to_the_partition_of_its_key -k memory",
    ),
    Mutant(
        "key-overtakes-its-letter",
        "messages that come after one that failed are handled before it",
        "messaging/deciding.py",
        "self.lane_work.append(found.key, item)\n            return True",
        "return False",
        likely=f"{_OF_THE_TALLY}lanes.py::test_later_messages_of_the_key_wait_and_the_partition_goes_on -k memory",
    ),
    Mutant(
        "letter-handled-twice",
        "a dead letter that is replayed twice is handled twice",
        "messaging/worker.py",
        "                del words[id(item)]\n                read[place] = None",
        "                del words[id(item)]",
        likely="integration/test_messaging_lanes.py::test_a_letter_that_is_replayed_twice_is_handled_once -k memory",
    ),
)

TIMERS: Final = (
    Mutant(
        "timer-overtakes-a-record",
        "a timer fires although records from before its deadline are still to come",
        "messaging/schedule.py",
        "if not _all_seen(waiting[0].due_at, buffers, position, barrier):",
        "if record is not None and not _all_seen(waiting[0].due_at, buffers, position, barrier):",
        likely="unit/test_messaging_schedule.py::test_no_timer_fires_before_a_record_that_was_appended_by_its_deadline",
    ),
    Mutant(
        "barrier-of-the-same-moment",
        "a look at the broker from the very moment of the deadline is taken for one after it",
        "messaging/schedule.py",
        "barrier.at <= due_at",
        "barrier.at < due_at",
        likely="unit/test_messaging_schedule.py::test_no_timer_fires_before_a_record_that_was_appended_by_its_deadline",
    ),
    Mutant(
        "replaced-timer-fires",
        "a timer fires that was replaced after it was claimed",
        "messaging/deciding.py",
        "if (item.key, item.name) in commit.timers or (item.key, item.name) in self._touched:",
        "if (item.key, item.name) in self._touched:",
        likely="integration/test_messaging_timers.py::test_a_due_timer_that_a_record_of_the_same_batch_replaces_does_not_fire_and_the_new_one_stays -k memory",
    ),
    Mutant(
        "failed-timer-is-dropped",
        "a timer whose decision failed is not tried again",
        "messaging/deciding.py",
        "self.commit.timers[item.key, item.name] = postponed",
        "self.commit.timers.setdefault((item.key, item.name), postponed)",
        likely=f"{_OF_THE_TALLY}poison.py::test_a_timer_whose_decision_fails_is_tried_again_later_and_holds_nobody_up -k memory",
    ),
    Mutant(
        "refused-outcome-is-dropped",
        "the end of an effect that could not be recorded is not tried again",
        "messaging/deciding.py",
        "self.put_off.append(item)",
        "pass",
        likely=f"{_OF_THE_TALLY}poison.py::test_a_timer_whose_decision_fails_is_tried_again_later_and_holds_nobody_up -k memory",
    ),
)

IN_MEMORY: Final = (
    Mutant(
        "memory-epoch-stands-still",
        "taking a partition over in memory does not raise its number: two owners hold it",
        "messaging/memory.py",
        "owned = replace(owned, epoch=owned.epoch + 1,",
        "owned = replace(owned, epoch=max(owned.epoch, 1),",
        likely="integration/test_messaging_store.py::test_whoever_owned_the_partition_before_changes_nothing_any_more -k memory",
    ),
    Mutant(
        "memory-fence-without-offsets",
        "a commit in memory that did not go on from the stored offsets is taken",
        "messaging/memory.py",
        "if owned is None or not held or any(owned.offsets[t] != commit.expected[t] for t in commit.offsets):",
        "if owned is None or not held:",
        likely="integration/test_messaging_store.py::test_a_batch_that_did_not_go_on_from_the_stored_offsets_changes_nothing -k memory",
    ),
)

PART: Final = Part(
    "runtime",
    (
        "tests/unit/test_messaging_schedule.py",
        " ".join(
            f"tests/integration/test_messaging_{name}.py"
            for name in ("store", "runtime", "outbox", "timers", "poison", "lanes", "places")
        )
        + " -k memory",
        "tests/system/test_lanes.py -k in-turn",
        "tests/system/test_simulation.py",
        "tests/system/test_rough_weather.py",
    ),
    (*BATCHES, *TIMERS, *IN_MEMORY),
)
