"""What happens to a message is decided by the last two digits of the number it is sent to.

========  ==================================================================
last two  what the operator does
========  ==================================================================
00        DELIVRD; so does every number that is not listed
01        ACCEPTD, then DELIVRD
02        EXPIRED
03        DELETED
04        UNDELIV
05        UNKNOWN
06        REJECTD
07        ENROUTE, then DELIVRD
08        takes the message and sends no receipt
09        UNKNOWN, then DELIVRD
10        UNDELIV, then DELIVRD after all
11        DELIVRD, then UNDELIV, which comes too late to be true
12        DELIVRD, and the same receipt again
13        DELIVRD, before the submit_sm_resp
14        DELIVRD, some seconds late
15        DELIVRD, by data_sm
16        UNDELIV, by data_sm
17        DELIVRD, then ACCEPTD
18        ENROUTE, then DELIVRD, both by data_sm
19        DELIVRD, with id and state as parameters besides the text
20        refuses with ESME_RINVDSTADR
21        refuses with ESME_RSUBMITFAIL
22        refuses with ESME_RINVSRCADR
30        ESME_RTHROTTLED once, then DELIVRD
31        ESME_RMSGQFUL twice, then DELIVRD
32        ESME_RSYSERR once, then UNDELIV
33        ESME_RTHROTTLED whenever it is asked
40        DELIVRD, its id in lower case, with leading zeros in the receipt
41        DELIVRD, its id with leading zeros in the submit_sm_resp
42        DELIVRD, its id hexadecimal in the submit_sm_resp, then decimal
43        UNDELIV, its id decimal in the submit_sm_resp, then hexadecimal
50        DELIVRD, its dates with seconds
51        DELIVRD, its dates all zeros
52        UNDELIV, its error code of four digits (0032)
53        EXPIRED, its error code a word (nul)
60        DELIVRD for each part of a long message, asked for or not
========  ==================================================================

Of a long message each part is a message of its own to an operator, with an
id of its own. It sends receipts for those parts that ask for one
(SMPP 3.4 section 5.2.17, registered_delivery).
"""

from typing import Final, NamedTuple

from bench.smsc.identifiers import Spelling

SOON: Final = 0.05
LATER: Final = 0.4
LATE: Final = 4.0
MINUTES: Final = "%y%m%d%H%M"
SECONDS: Final = "%y%m%d%H%M%S"
ZEROS: Final = "0000000000"


class Receipt(NamedTuple):
    """A receipt that the operator is going to send.

    Attributes:
        stat: the message's state (SMPP 3.4 appendix B).
        err: the operator's error code.
        after: seconds since the submit_sm_resp, or since the receipt before this one.
        command: ``deliver_sm``, or ``data_sm``, which has parameters alone.
        dates: how its dates are written, for ``strftime``.
        parameters: whether a deliver_sm has id and state as parameters, too.
    """

    stat: str
    err: str = "000"
    after: float = SOON
    command: str = "deliver_sm"
    dates: str = MINUTES
    parameters: bool = False


class Outcome(NamedTuple):
    """What happens to a message.

    Attributes:
        title: in a few words.
        receipts: what is sent once the message was taken, in this order.
        refusals: statuses that the first attempts are answered with, one after another.
        refused: the last refusal is repeated for ever.
        early: the first receipt goes out before the submit_sm_resp.
        unasked: receipts are sent whether asked for or not.
        spelling: how its ids are written.
    """

    title: str
    receipts: tuple[Receipt, ...] = ()
    refusals: tuple[str, ...] = ()
    refused: bool = False
    early: bool = False
    unasked: bool = False
    spelling: Spelling = Spelling.SAME

    def answer(self, attempt: int) -> str:
        """Return the status that an attempt is answered with; the first one is number 0."""
        if attempt < len(self.refusals):
            return self.refusals[attempt]
        return self.refusals[-1] if self.refused else "ESME_ROK"


def _refused(status: str) -> Outcome:
    return Outcome(f"refused: {status}", refusals=(status,), refused=True)


_DELIVRD: Final = Receipt("DELIVRD")
_UNDELIV: Final = Receipt("UNDELIV", "001")

OUTCOMES: Final = {
    "00": Outcome("DELIVRD", (_DELIVRD,)),
    "01": Outcome("ACCEPTD, DELIVRD", (Receipt("ACCEPTD"), Receipt("DELIVRD", after=LATER))),
    "02": Outcome("EXPIRED", (Receipt("EXPIRED", "027"),)),
    "03": Outcome("DELETED", (Receipt("DELETED", "008"),)),
    "04": Outcome("UNDELIV", (_UNDELIV,)),
    "05": Outcome("UNKNOWN", (Receipt("UNKNOWN", "099"),)),
    "06": Outcome("REJECTD", (Receipt("REJECTD", "006"),)),
    "07": Outcome("ENROUTE, DELIVRD", (Receipt("ENROUTE"), Receipt("DELIVRD", after=LATER))),
    "08": Outcome("no receipt"),
    "09": Outcome("UNKNOWN, DELIVRD", (Receipt("UNKNOWN", "099"), Receipt("DELIVRD", after=LATER))),
    "10": Outcome("UNDELIV, DELIVRD", (_UNDELIV, Receipt("DELIVRD", after=LATER))),
    "11": Outcome("DELIVRD, UNDELIV", (_DELIVRD, Receipt("UNDELIV", "001", after=LATER))),
    "12": Outcome("DELIVRD twice", (_DELIVRD, Receipt("DELIVRD", after=LATER))),
    "13": Outcome("DELIVRD early", (_DELIVRD,), early=True),
    "14": Outcome("DELIVRD late", (Receipt("DELIVRD", after=LATE),)),
    "15": Outcome("DELIVRD by data_sm", (Receipt("DELIVRD", command="data_sm"),)),
    "16": Outcome("UNDELIV by data_sm", (Receipt("UNDELIV", command="data_sm"),)),
    "17": Outcome("DELIVRD, ACCEPTD", (_DELIVRD, Receipt("ACCEPTD", after=LATER))),
    "18": Outcome(
        "ENROUTE, DELIVRD by data_sm",
        (Receipt("ENROUTE", command="data_sm"), Receipt("DELIVRD", after=LATER, command="data_sm")),
    ),
    "19": Outcome("DELIVRD with parameters", (Receipt("DELIVRD", parameters=True),)),
    "20": _refused("ESME_RINVDSTADR"),
    "21": _refused("ESME_RSUBMITFAIL"),
    "22": _refused("ESME_RINVSRCADR"),
    "30": Outcome("throttled once", (_DELIVRD,), ("ESME_RTHROTTLED",)),
    "31": Outcome("queue full twice", (_DELIVRD,), ("ESME_RMSGQFUL", "ESME_RMSGQFUL")),
    "32": Outcome("system error once", (_UNDELIV,), ("ESME_RSYSERR",)),
    "33": _refused("ESME_RTHROTTLED"),
    "40": Outcome("id: zeros in receipt", (_DELIVRD,), spelling=Spelling.ZEROS_IN_RECEIPT),
    "41": Outcome("id: zeros in answer", (_DELIVRD,), spelling=Spelling.ZEROS_IN_ANSWER),
    "42": Outcome("id: hex, then decimal", (_DELIVRD,), spelling=Spelling.DECIMAL_IN_RECEIPT),
    "43": Outcome("id: decimal, then hex", (_UNDELIV,), spelling=Spelling.DECIMAL_IN_ANSWER),
    "50": Outcome("dates with seconds", (Receipt("DELIVRD", dates=SECONDS),)),
    "51": Outcome("dates of zeros", (Receipt("DELIVRD", dates=ZEROS),)),
    "52": Outcome("error code 0032", (Receipt("UNDELIV", "0032"),)),
    "53": Outcome("error code nul", (Receipt("EXPIRED", "nul"),)),
    "60": Outcome("a receipt for each part", (_DELIVRD,), unasked=True),
}


def outcome_of(number: str) -> Outcome:
    """Return what happens to messages to a number."""
    return OUTCOMES.get(number[-2:], OUTCOMES["00"])
