"""What becomes of one batch: each item is decided, forwarded, set aside, parked or passed over; a commit comes of it all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from contracts.envelope import InvalidCommand
from contracts.letters import Act, Letter, LetterAnswered, Outcome, Word
from contracts.values import CommandData
from messaging.decision import CancelTimer, Decision, EffectDone, Message, Outgoing
from messaging.decoding import DeadLetter, Forward, dead_letter_wire, forward_wire
from messaging.errors import PoisonError, TooManyDeadLettersError
from messaging.handler import Batch
from messaging.lanes import Lanes, LaneWork
from messaging.log_context import of_message, of_record
from messaging.logs import get_logger
from messaging.meters import Meters
from messaging.ports import Commit, DueTimer, LetterDone, Parked, PostponedTimer, Record
from messaging.stamp import Stamped, stamp

log = get_logger(__name__)

#: So many records in a row that the handler fails on are the handler's fault.
MAX_FAILURES_IN_A_ROW: Final = 50
#: A timer or an effect's outcome whose decision raised, or which the database refused, is tried again after this long.
RETRY_S: Final = 60
_MOST_TEXT: Final = 1000
#: Why a letter is not discarded.
_NO_VERDICT: Final = "Its sender cannot be told: not even the rejection can be decided or stored."

Item = Record | DueTimer | Message | Parked
Found = Message | DeadLetter | Forward | None


class Deciding:
    """One batch while it is being decided. `words`: what operators say about letters, by the item (its `id`) that carries it;
    `touched`: timers that were set, cancelled or fired since the due ones were claimed."""

    def __init__(
        self,
        service: str,
        commit: Commit,
        lanes: Lanes,
        words: Mapping[int, Word],
        touched: set[tuple[str, str]],
        failures: int,
        now: datetime,
        meters: Meters,
    ) -> None:
        self.commit = commit
        self.failures = failures
        self.now = now
        self.stamped: list[Stamped] = []
        #: Which message asked for which effect.
        self.asked: dict[str, Message] = {}
        #: Outcomes of effects that are to be tried again later.
        self.put_off: list[Message] = []
        self.lane_work = LaneWork(lanes, commit)
        self._service = service
        # Nearly always nobody waits and nobody has said anything: then nothing is asked about it for each item.
        self._plain = not lanes and not words
        self._words = words
        self._touched = touched
        self._meters = meters

    def settle(self, batch: Batch, item: Item, found: Found, condemned: bool) -> None:
        """Do with one item what is to be done with it. `condemned`: the database refuses what it would write."""
        if isinstance(item, Record):
            self.commit.offsets[item.topic] = item.offset + 1
        if self._plain:
            self._handle(batch, item, found, condemned)
        else:
            self._handle_in_turn(batch, item, found, condemned)

    def _handle(self, batch: Batch, item: Item, found: Found, condemned: bool) -> Outcome:
        if condemned:
            self._failed(item, found, "The database refuses what this message would write.")
            return "failed"
        if isinstance(found, Message):
            return self._decide(batch, item, found)
        if isinstance(found, DeadLetter):
            self._bury(found)
            return "set-aside"
        if isinstance(found, Forward):
            self.commit.outbox.append(forward_wire(self.commit.next_seq, found))
            self.commit.next_seq += 1
            self._meters.forwarded(found.record.topic)
        return "handled"

    def _handle_in_turn(self, batch: Batch, item: Item, found: Found, condemned: bool) -> None:
        """The same where keys wait, or where operators have said something."""
        word = self._words.get(id(item))
        if word is not None and isinstance(item, Record) and not self._is_the_letters(word, item):
            word = None
        if word is not None and self.lane_work.is_done(word.letter):
            found, word = None, None  # it was said twice within this batch
        elif word is not None and isinstance(item, Record):
            if word.act == "discard" and not self._refused(batch, word, found, condemned):
                self._stays(word, found)
                return
            if self._heeded(word, found):
                return
        if self._waits(item, found):
            return
        outcome = self._handle(batch, item, found, condemned)
        if isinstance(item, Parked):
            if outcome != "failed":
                self._left(item, found, outcome)
            if item.failures:
                return  # it is a letter itself, and what was said of the older one was answered when it became one
        if word is not None:
            self._answer_word(word, found, "set-aside" if outcome == "failed" else outcome)

    def _decide(self, batch: Batch, item: Item, message: Message) -> Outcome:
        commit = self.commit
        if isinstance(item, DueTimer):
            if (item.key, item.name) in commit.timers or (item.key, item.name) in self._touched:
                return "handled"  # what was decided since it was claimed has replaced or cancelled it
            commit.timers[item.key, item.name] = CancelTimer(item.key, item.name)
        try:
            decision = batch.decide(message, self.now)
        except Exception as error:
            record = item.record if isinstance(item, Parked) else item
            if isinstance(error, PoisonError) and isinstance(record, Record):
                self._bury(DeadLetter(record, error.reason, str(error)))
                return "set-aside"
            log.exception("decision-failed", **of_message(message))
            self._failed(item, message, type(error).__name__)
            return "failed"
        self.failures = 0
        self._take(message, decision)
        return "handled"

    def _take(self, message: Message, decision: Decision[Any]) -> None:
        """What the decision says goes into the commit."""
        commit = self.commit
        for index, said in enumerate(decision.says):
            stamped = stamp(self._service, commit.partition, message, index, commit.next_seq, said, self.now)
            commit.next_seq += 1
            self.stamped.append(stamped)
            if stamped.wire is not None:
                commit.outbox.append(stamped.wire)
        for timer in decision.timers:
            commit.timers[timer.key, timer.name] = timer
        for effect in decision.effects:
            commit.effects.append(effect)
            self.asked[effect.id] = message
        if isinstance(message.data, EffectDone):
            commit.effects_done.append(message.data.effect_id)

    # --- what fails ---------------------------------------------------------------------------------------------------

    def _failed(self, item: Item, found: Found, error: str) -> None:
        if isinstance(item, Parked):
            # Somebody is looking at this one: it does not count towards the failures that stop everything.
            self.lane_work.hold(item, error)
            if item.failures == 0:
                self._bury(DeadLetter(item.record, "handler-error", error, lane=item.key))
            else:
                self._answer_head(item, found, "failed", error)
            return
        if isinstance(item, DueTimer):
            postponed = PostponedTimer(item, self.now + timedelta(seconds=RETRY_S))
            self.commit.timers[item.key, item.name] = postponed
            return
        if isinstance(item, Message):
            self.put_off.append(item)
            return
        # What is tried again by itself does not count towards the failures that stop everything either: none of it is set aside.
        self.failures += 1
        if self.failures >= MAX_FAILURES_IN_A_ROW:
            raise TooManyDeadLettersError(f"{self.failures} messages in a row failed, the last with: {error}")
        lane = found.key if isinstance(found, Message) else None
        if lane is not None:
            self.lane_work.open(lane, item, error)
            self._plain = False
        self._bury(DeadLetter(item, "handler-error", error, lane))

    def _bury(self, dead: DeadLetter) -> None:
        log.warning("dead-letter", reason=dead.reason, **of_record(dead.record))
        record = dead.record
        self.lane_work.anew(Letter(self._service, record.topic, record.partition, record.offset))
        self.commit.outbox.append(dead_letter_wire(self.commit.next_seq, self._service, dead, self.now))
        self.commit.next_seq += 1
        self._meters.dead_lettered(record.topic, dead.reason)

    # --- what waits ---------------------------------------------------------------------------------------------------

    def _waits(self, item: Item, found: Found) -> bool:
        """Whether the item has to wait for others of its key. An effect's outcome waits for nobody: it belongs to what was
        decided before the lane was opened."""
        if isinstance(item, Parked):
            lane = self.lane_work.get(item.key)
            return lane is None or lane.held
        if isinstance(item, DueTimer):
            return self.lane_work.get(item.key) is not None
        if isinstance(item, Record) and isinstance(found, Message) and self.lane_work.get(found.key) is not None:
            self.lane_work.append(found.key, item)
            return True
        return False

    def _left(self, row: Parked, found: Found, outcome: Outcome) -> None:
        self.lane_work.leave(row)
        if row.failures:
            self._answer_head(row, found, outcome, None)

    # --- words about letters ------------------------------------------------------------------------------------------

    def _is_the_letters(self, word: Word, record: Record) -> bool:
        """Whether a record that carries a word is what waits as that letter. One that is not has come with a forged or mistaken
        word, and is handled like any other."""
        lane = self.lane_work.of_letter(word.letter)
        head = None if lane is None or lane.head is None else lane.head.record
        return head is None or (record.key, record.value) == (head.key, head.value)

    def _heeded(self, word: Word, found: Found) -> bool:
        """Act on a word. False: the record that carries it is to be handled like any other."""
        lane = self.lane_work.of_letter(word.letter)
        if lane is None or lane.head is None:
            if word.act == "discard":
                self._answer_word(word, found, "discarded")
            return word.act == "discard"
        head = lane.head
        if word.act == "discard":
            left = self.lane_work.leave(head)
            self._answer_word(word, found, "discarded", left)
        elif lane.held:
            self.lane_work.retry(head, word.operator, word.reason)
        return True

    def _refused(self, batch: Batch, word: Word, found: Found, condemned: bool) -> bool:
        """Every command gets a verdict: one that is given up is told to its sender as one that cannot be carried out. False: even
        that cannot be decided or stored. (One of us, and whoever a decision says cannot be answered, needs to be told nothing.)"""
        if not isinstance(found, Message) or not isinstance(found.data, CommandData):
            return True
        if condemned:
            return False
        told = f"It could not be handled and was given up by an operator: {word.reason}"[:_MOST_TEXT]
        data = InvalidCommand(found.id, found.source, found.type, found.key, told)
        try:
            decision = batch.decide(found._replace(data=data), self.now)
        except PoisonError:
            return True
        except Exception:
            log.exception("decision-failed", **of_message(found))
            return False
        self._take(found, decision)
        return True

    def _stays(self, word: Word, found: Found) -> None:
        """A command whose sender cannot be told is not given up: the letter stays, with all that waits behind it."""
        lane = self.lane_work.of_letter(word.letter)
        waiting = 0 if lane is None else lane.records - 1
        self._answer(word.letter, word.act, "failed", word.operator, word.reason, _NO_VERDICT, waiting, found, 0)

    def _answer_word(self, word: Word, found: Found, outcome: Outcome, waiting: int = 0) -> None:
        self.lane_work.finish(LetterDone(word.letter, word.act, outcome, word.operator, word.reason))
        self._answer(word.letter, word.act, outcome, word.operator, word.reason, None, waiting, found, 0)

    def _answer_head(self, row: Parked, found: Found, outcome: Outcome, error: str | None) -> None:
        record = row.record
        letter = Letter(self._service, record.topic, record.partition, record.offset)
        operator, reason = row.operator or "unknown", row.reason or "none given"
        if outcome != "failed":
            self.lane_work.finish(LetterDone(letter, "replay", outcome, operator, reason))
        lane = self.lane_work.get(row.key)
        waiting = 0 if lane is None else lane.records - (outcome == "failed")
        self._answer(letter, "replay", outcome, operator, reason, error, waiting, found, row.failures)

    def _answer(
        self,
        letter: Letter,
        act: Act,
        outcome: Outcome,
        operator: str,
        reason: str,
        error: str | None,
        waiting: int,
        found: Found,
        attempt: int,
    ) -> None:
        """Tell what became of a letter. It stands in no order's history: it is about messages, not about orders."""
        name = str(letter)
        cause = (
            found if isinstance(found, Message) else Message("letter", self._service, None, name, "", self.now, name)
        )
        answer = LetterAnswered(
            service=letter.service,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            act=act,
            operator=operator,
            reason=reason,
            outcome=outcome,
            error=error,
            waiting=waiting,
        )
        # Behind all that the same cause may say, and another one for each attempt.
        index = -1 - attempt
        stamped = stamp(
            self._service,
            self.commit.partition,
            cause,
            index,
            self.commit.next_seq,
            Outgoing(cause.key, answer),
            self.now,
        )
        self.commit.next_seq += 1
        if stamped.wire is not None:
            self.commit.outbox.append(stamped.wire)
