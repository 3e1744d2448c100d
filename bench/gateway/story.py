"""What happened to one message: asked for, submitted, answered, published."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.gateway.sms import Sms
from bench.gateway.tap import Publication, Tap
from bench.smsc.journal import Journal, SentReceipt, Submission


@dataclass
class Story:
    """One message, as the operator and the tap saw it.

    Attributes:
        sms: what was handed to Jasmin.
        submissions: how it came to the operator: each part, each attempt.
        answers: what Jasmin published about them.
        receipts: the receipts that Jasmin published, each with the submission that it is for.
        queued: how it came into Jasmin's own queue.
    """

    sms: Sms
    submissions: list[Submission] = field(default_factory=list)
    answers: list[Publication] = field(default_factory=list)
    receipts: list[tuple[Submission, Publication]] = field(default_factory=list)
    queued: list[Publication] = field(default_factory=list)

    @property
    def is_queued(self) -> bool:
        """Whether Jasmin's own queue was seen to get it."""
        return bool(self.queued)

    @property
    def links(self) -> set[str]:
        """The operator's ids that Jasmin has named for it."""
        return {
            answer.headers["smpp_msgid"] for answer in self.answers if answer.text == "ESME_ROK"
        }

    @property
    def linked(self) -> list[Publication]:
        """Those receipts that can be joined to it, by an id that Jasmin has named."""
        links = self.links
        return [
            receipt
            for submission, receipt in self.receipts
            if normalised(submission.smpp_msgid or "") in links
        ]

    @property
    def joinable(self) -> list[Publication]:
        """Those receipts that the service can do away with: of parts, too, where all is told."""
        is_whole = len(self.submissions) == self.sms.parts * len(self.answers)
        if is_whole and not self.unpublished():
            return [receipt for _, receipt in self.receipts]
        return self.linked

    @property
    def is_repeated(self) -> bool:
        """Whether the operator took it twice: Jasmin was killed before it had noted the first."""
        return sum(each.status == "ESME_ROK" for each in self._last_parts()) > 1

    def unpublished(self) -> list[tuple[str, float]]:
        """Return what came to Jasmin and was not published: what, and when it came."""
        lost = []
        if not self.is_queued:
            lost.append(("submission", self.sms.accepted_at))
        answered = self._answered()
        lost += [("answer", at) for at in answered[len(self.answers) :]]
        lost += [(f"receipt {stat}", at) for stat, at in self._unpublished_receipts()]
        return lost

    def complaint(self, what: str, expected: Any, found: Any) -> str:
        """Say what differs."""
        sms = self.sms
        return (
            f"{sms.message_id} to {sms.destination} ({sms.outcome.title}): {what}: "
            f"expected {expected}, found {found}"
        )

    def _answered(self) -> list[float]:
        """When the operator answered, latest first; a long message counts by its last part."""
        answered = (each.answered_at for each in self._last_parts())
        return sorted((at for at in answered if at), reverse=True)

    def _last_parts(self) -> Iterator[Submission]:
        return (each for each in self.submissions if each.part == each.parts)

    def _unpublished_receipts(self) -> Iterable[tuple[str, float]]:
        published: dict[tuple[str, str], int] = defaultdict(int)
        for _, publication in self.receipts:
            published[publication.headers["dlr_id"], publication.text] += 1
        for receipt in taken_receipts(self.submissions):
            key = receipt.smpp_msgid, as_published(receipt)
            published[key] -= 1
            if published[key] < 0:
                yield receipt.stat, receipt.acknowledged_at or 0.0


def taken_receipts(submissions: Iterable[Submission]) -> Iterable[SentReceipt]:
    """Yield the receipts that Jasmin has acknowledged."""
    for submission in submissions:
        yield from (each for each in submission.receipts if each.acknowledged_at is not None)


def as_published(receipt: SentReceipt) -> str:
    """Return the state that Jasmin publishes. Of message_state it has no name for ENROUTE."""
    return "UNKNOWN" if receipt.parameters and receipt.stat == "ENROUTE" else receipt.stat


def normalised(operator_id: str) -> str:
    """Return an operator's id as Jasmin writes it: upper case, no leading zeros."""
    return operator_id.upper().lstrip("0")


def name_unanswered(messages: Iterable[Sms], tap: Tap) -> list[Sms]:
    """Return those messages that Jasmin has queued, and give them its ids.

    It was killed between that and its answer: the operator gets them, and they are charged.
    """
    by_number = {publication.number: publication.message_id for publication in tap.queued()}
    queued = [sms for sms in messages if sms.destination in by_number]
    for sms in queued:
        sms.message_id = by_number[sms.destination]
    return queued


def tell_stories(messages: Iterable[Sms], journal: Journal, tap: Tap) -> dict[str, Story]:
    """Return the stories of messages of which Jasmin's message id is known, by that."""
    stories = {sms.message_id: Story(sms) for sms in messages if sms.message_id is not None}
    by_number = {story.sms.destination: story for story in stories.values()}
    by_receipt: dict[str, tuple[Story, Submission]] = {}
    for submission in journal.submissions:
        if story := by_number.get(submission.destination):
            story.submissions.append(submission)
            for receipt in submission.receipts:
                by_receipt[receipt.smpp_msgid] = story, submission
    for publication in tap.queued():
        if story := stories.get(publication.message_id):
            story.queued.append(publication)
    for publication in tap.answers():
        if story := stories.get(publication.message_id):
            story.answers.append(publication)
    _join_receipts(tap.receipts(), by_receipt)
    return stories


def _join_receipts(
    receipts: Iterable[Publication], by_receipt: Mapping[str, tuple[Story, Submission]]
) -> None:
    for publication in receipts:
        if found := by_receipt.get(publication.headers["dlr_id"]):
            story, submission = found
            story.receipts.append((submission, publication))
