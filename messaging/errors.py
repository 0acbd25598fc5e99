"""What can go wrong in the runtime, and what to do about it."""

from __future__ import annotations


class MessagingError(Exception):
    """Base of this package's errors."""


class FenceLostError(MessagingError):
    """Somebody else owns the partition now: stop working on it and join the group again."""


class StaleRowError(MessagingError):
    """A row was not as it was read: drop what is in memory and decide again."""


class TransientStoreError(MessagingError):
    """The database did not answer as it should; the transaction may or may not have been committed. Reload, then go on."""


class PermanentStoreError(MessagingError):
    """The database refuses this data and always will: find the message in the batch that causes it and set it aside."""


class PoisonError(MessagingError):
    """A decision's word that this record can be neither handled nor answered: it goes to the dead letters with `reason`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TailLostError(MessagingError):
    """The broker no longer has what it acknowledged: reload, read its end again, and publish again what the outbox keeps."""


class PublishUnknownError(MessagingError):
    """The broker did not acknowledge in time: the records may be there or not. Publish them again with a new producer."""


class TopicMismatchError(MessagingError):
    """A topic is missing or does not have the contract's partition count: create the topics first (`make up` does)."""


class TooManyDeadLettersError(MessagingError):
    """So many messages fail one after another that it is this code that must be wrong, not they: stop before all is buried."""


class SettingsError(MessagingError):
    """A setting is missing or not usable; the message names it and says what is allowed."""
