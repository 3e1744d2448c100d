"""The run from start to end: one message traced, some undisturbed, the others under fire."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.chaos.observer import BUGS
from bench.chaos.result import Result
from bench.gateway import counters, trace
from bench.gateway.audit import audit
from bench.gateway.bed import DATABASE, OUTAGE_SECONDS, SETTLE_SECONDS, Bed, make_bed
from bench.gateway.books import Books
from bench.gateway.expectation import outcome_status
from bench.gateway.quiet import until_quiet
from bench.gateway.refusals import offer_unacceptable
from bench.gateway.seen import Seen
from bench.gateway.sms import ACCOUNTS, Sms, Writer
from bench.gateway.story import name_unanswered, tell_stories
from bench.gateway.traffic import Traffic
from bench.lab.check import Check
from bench.lab.log import JsonLog
from bench.lab.screen import Screen
from bench.smsc.outcomes import OUTCOMES
from bench.stack import Stack

_TRACED: Final = "01"
_DROPPED: Final = "dropped"
_ABANDONED: Final = 3
# How much of the second half Jasmin has accepted by then.
_JASMIN_KILL: Final = 0.33
_SERVICE_KILLS: Final = (0.5, 0.67, 0.83)
# The service's flush time: what has come so long ago is being written now.
_FLUSH_SECONDS: Final = 0.1
_BUSY_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
        messages: how many.
        seed: of which outcomes.
        split: how Jasmin marks the parts of long messages.
        kill: whether Jasmin and the service are killed during the second half.
        books: who writes CDRs.
    """

    messages: int
    seed: int
    split: str
    kill: bool
    books: Books


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        result: figures and checks.
        steps: of one message.
        statuses: of the CDRs, by what their numbers asked for.
    """

    result: Result
    steps: Sequence[trace.Step]
    statuses: dict[str, Counter[str]]

    def show(self, console: Console) -> None:
        """Print all of it."""
        table = Table(title="What was asked for, and what the CDRs show", title_justify="left")
        for name in ("number ends in", "the operator", "CDRs", "must be"):
            table.add_column(name)
        for code, statuses in sorted(self.statuses.items()):
            found = ", ".join(f"{count} {status}" for status, count in statuses.items())
            if code == _DROPPED:
                table.add_row(code, "never gets it", found, "queued")
            else:
                table.add_row(code, OUTCOMES[code].title, found, outcome_status(code))
        console.print(table)
        console.print(trace.show(self.steps))
        self.result.show(console)


async def run(stack: Stack, place: Path, options: Options, screen: Screen) -> Report:
    """Send all messages, and compare.

    Raises:
        StackError, ProgramFailed: something does not start, or ends.
        NotAccepted: Jasmin takes no messages.
    """
    settle = SETTLE_SECONDS + (OUTAGE_SECONDS if options.kill else 0)
    async with make_bed(
        stack, place, options.split, options.books, screen.tell, settle=settle
    ) as bed:
        writer = Writer(options.seed)
        traffic = Traffic(bed, writer)
        story = Run(bed, traffic, options, screen)
        try:
            await story.reconcile()
            screen.tell("following one message")
            steps = await trace.follow(bed, traffic, writer.write(ACCOUNTS[0], _TRACED))
            messages = list(writer.mixed(options.messages))
            calm = len(messages) // 2 if options.kill else len(messages)
            story.result.checks.append(await offer_unacceptable(bed.jasmin, writer))
            if options.books.captures:  # the service has CDRs even of what no sender knows
                for _ in range(_ABANDONED):
                    await traffic.abandon(writer.write(ACCOUNTS[0], _TRACED))
            await story.undisturbed(messages[:calm])
            if options.kill:
                await story.under_fire(messages[calm:])
        finally:
            await traffic.close()
        return Report(story.result, steps, await story.compare())


class Run:
    """What happens while everything is up; keeps what it comes to in ``result``."""

    def __init__(self, bed: Bed, traffic: Traffic, options: Options, screen: Screen) -> None:
        self.result = Result("capture" if options.books.captures else "gateway", options.seed)
        self._bed = bed
        self._traffic = traffic
        self._screen = screen
        self._dice = random.Random(options.seed)  # noqa: S311 - no secret
        self._kills: list[tuple[float, float]] = []

    async def undisturbed(self, messages: Sequence[Sms]) -> None:
        """Send messages, and compare Jasmin's counters with the operator's and ours."""
        bed, journal = self._bed, self._bed.smsc.journal
        self._screen.tell(f"{len(messages)} messages, undisturbed")
        began = time.monotonic()
        await self._send(messages)
        self.result.figures["messages_per_second"] = len(messages) / (time.monotonic() - began)
        counted = await self._settled()
        self.result.checks += [
            counters.compare_pdus(counted, journal, range(1, bed.smsc.binds + 1), "undisturbed"),
            await counters.compare_settled(counted, self._queued(), bed),
        ]

    async def under_fire(self, messages: Sequence[Sms]) -> None:
        """Send messages while Jasmin and then the service are killed."""
        self._screen.tell(f"{len(messages)} messages more")
        bed, sent = self._bed, len(self._traffic.accepted)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(messages))
            await self._traffic.reached(sent + int(_JASMIN_KILL * len(messages)))
            first_bind = bed.smsc.binds + 1
            self._kills.append(await self._strike(bed.kill_jasmin, "Jasmin"))
            for share in _SERVICE_KILLS:
                await self._traffic.reached(sent + int(share * len(messages)))
                await self._until_busy()
                await self._strike(bed.kill_service, "billing-service")
        counted = await self._settled()
        binds, title = range(first_bind, bed.smsc.binds + 1), "since Jasmin was killed"
        self.result.checks.append(counters.compare_pdus(counted, bed.smsc.journal, binds, title))

    async def compare(self) -> dict[str, Counter[str]]:
        """Compare the database with everything; return the CDRs' statuses by outcome."""
        self._screen.tell("comparing")
        bed, traffic, result = self._bed, self._traffic, self.result
        messages = self._queued()
        stories = tell_stories(messages, bed.smsc.journal, bed.tap)
        seen = Seen(bed.books, stories, bed.tap, self._kills)
        lost = Counter(what for _, what, _ in seen.lost())
        result.checks += [*await audit(bed.pool, seen), await self._dead_letters()]
        await self.reconcile()
        result.problems += self._bugs()
        result.figures |= {
            "messages": len(seen.written),
            "answers_published": sum(1 for _ in bed.tap.answers()),
            "receipts_published": sum(1 for _ in bed.tap.receipts()),
            "bills_published": sum(1 for _ in bed.tap.bills()),
            "not_answered_by_jasmin": len(traffic.unconfirmed),
            "queued_and_not_answered": len(messages) - len(traffic.accepted),
            "submitted_twice_by_jasmin": sum(story.is_repeated for story in stories.values()),
            "lost_by_jasmin_when_killed": dict(lost) if lost else 0,
        }
        return await self._statuses(seen)

    async def reconcile(self) -> None:
        """Let the service compare by itself; the first time it notes the opening balances."""
        dsn = self._bed.stack.postgres.dsn(DATABASE)
        code, text = await asyncio.to_thread(self._bed.keeper.run_command, dsn, "reconcile")
        if code != 0:
            self.result.problems.append(f"billing-service reconcile: exit code {code}:\n{text}")

    def _queued(self) -> list[Sms]:
        """Return all messages that have an id, whether or not their sender was told."""
        traffic = self._traffic
        return [*traffic.accepted, *name_unanswered(traffic.unconfirmed, self._bed.tap)]

    async def _statuses(self, seen: Seen) -> dict[str, Counter[str]]:
        rows = await self._bed.pool.fetch("SELECT message_id, status FROM sms_cdr")
        statuses: dict[str, Counter[str]] = defaultdict(Counter)
        for story, status in seen.with_rows({row["message_id"]: row["status"] for row in rows}):
            statuses[_DROPPED if story.sms.is_dropped else story.sms.code][status] += 1
        return statuses

    async def _send(self, messages: Sequence[Sms]) -> None:
        await self._traffic.send(
            messages, lambda count: self._screen.progress(f"{count} accepted by Jasmin")
        )

    async def _settled(self) -> counters.Counted:
        """Wait until all is settled, and ask Jasmin what it has counted."""
        self._screen.tell("waiting until all is settled")
        moving = await until_quiet(self._bed)
        self.result.problems += [f"not settled: {text}" for text in moving]
        return await asyncio.to_thread(counters.ask_jasmin, self._bed.jasmin)

    async def _until_busy(self) -> None:
        """Wait until the service is about to write something, if anything comes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bed.tap.published(), _BUSY_SECONDS)
            await asyncio.sleep(self._dice.uniform(_FLUSH_SECONDS, 1.5 * _FLUSH_SECONDS))

    async def _strike(self, kill: Callable[[], Awaitable[None]], what: str) -> tuple[float, float]:
        killed = time.time()
        self._screen.tell(f"killing {what} (SIGKILL), and starting it again")
        await kill()
        self._screen.tell(f"{what} is back")
        return killed, time.time()

    async def _dead_letters(self) -> Check:
        queues = await asyncio.to_thread(self._bed.stack.rabbitmq.queues)
        dead = {f"{name}.dead" for name in self._bed.books.queues}
        found = {each["name"]: each["messages"] for each in queues if each["name"] in dead}
        return Check("dead letters: none").compare(dict.fromkeys(sorted(dead), 0), found)

    def _bugs(self) -> list[str]:
        """Return what the service's logs have that they should not have, whatever was killed."""
        lines = [
            (line["event"], life.log.name)
            for life in self._bed.keeper.lives
            for line in JsonLog(life.log).new_lines()
        ]
        return [f"{event}: see {name}" for event, name in lines if event in BUGS]
