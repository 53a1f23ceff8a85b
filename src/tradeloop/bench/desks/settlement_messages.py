"""Status messages as custodians write them: one set of facts as MT548 or as sese.024."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

_XML_STATUS = {
    ("IPRC", "PACK"): "PrcgSts/AckdAccptd",
    ("IPRC", "REJT"): "PrcgSts/Rjctd",
    ("IPRC", "CAND"): "PrcgSts/Canc",
    ("MTCH", "NMAT"): "MtchgSts/Umtchd",
    ("MTCH", "MACH"): "MtchgSts/Mtchd",
    ("SETT", "PEND"): "SttlmSts/Pdg",
    ("SETT", "PENF"): "SttlmSts/Flng",
}
_XML_ORDER = ("PrcgSts", "MtchgSts", "SttlmSts")


@dataclass(frozen=True)
class Told:
    """What a status message says."""

    reference: str
    isin: str
    quantity: Decimal
    amount: Decimal | None
    currency: str
    is_delivery: bool
    isd: date
    trade_date: date
    statuses: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Qualifier, code, reasons."""
    narrative: str = ""
    place: str = "DAKVDEFFXXX"
    other_agent: str = "DEUTDEFFXXX"
    face: bool = False
    """Whether the quantity is a face amount."""


def mt548(told: Told, *, forged: str = "") -> str:
    """The message as MT548; `forged`: raw lines after the narrative, as only an attacker writes them."""
    lines = [
        "{1:F01CUSTDEFFAXXX0000000000}{2:O5481200260101OWNRDEFFAXXX00000000002601011200N}{4:",
        ":16R:GENL",
        f":20C::SEME//{told.reference}",
        ":23G:INST",
        ":16R:LINK",
        f":20C::RELA//{told.reference}",
        ":16S:LINK",
    ]
    lines += _status_lines(told, forged)
    agent = "REAG" if told.is_delivery else "DEAG"
    lines += [
        ":16S:GENL",
        ":16R:SETTRAN",
        f":35B:ISIN {told.isin}",
        f":36B::SETT//{'FAMT' if told.face else 'UNIT'}/{_comma(told.quantity)}",
        *([f":19A::SETT//{told.currency}{_comma(told.amount)}"] if told.amount is not None else []),
        ":97A::SAFE//1234567",
        f":22H::REDE//{'DELI' if told.is_delivery else 'RECE'}",
        f":22H::PAYM//{'APMT' if told.amount is not None else 'FREE'}",
        f":98A::SETT//{told.isd:%Y%m%d}",
        f":98A::TRAD//{told.trade_date:%Y%m%d}",
        ":16R:SETPRTY",
        f":95P::{agent}//{told.other_agent}",
        ":16S:SETPRTY",
        ":16R:SETPRTY",
        f":95P::PSET//{told.place}",
        ":16S:SETPRTY",
        ":16S:SETTRAN",
        "-}",
    ]
    return "\n".join(lines)


def _status_lines(told: Told, forged: str) -> list[str]:
    lines: list[str] = []
    for qualifier, code, reasons in told.statuses:
        lines += [":16R:STAT", f":25D::{qualifier}//{code}"]
        for at, reason in enumerate(reasons):
            lines += [":16R:REAS", f":24B::{code}//{reason}"]
            if told.narrative and at == 0:
                lines += [f":70D::REAS//{_narrative(told.narrative)}{forged}"]
            lines += [":16S:REAS"]
        lines += [":16S:STAT"]
    return lines


def sese024(told: Told) -> str:
    """The message as sese.024.001.12."""
    blocks: dict[str, str] = {}
    for qualifier, code, reasons in told.statuses:
        outer, inner = _XML_STATUS[qualifier, code].split("/")
        rows = [
            f"<Rsn><Cd><Cd>{reason}</Cd></Cd>"
            + (f"<AddtlRsnInf>{escape(_printable(told.narrative))}</AddtlRsnInf>" if told.narrative and at == 0 else "")
            + "</Rsn>"
            for at, reason in enumerate(reasons)
        ]
        empty = "" if (qualifier, code) == ("MTCH", "MACH") else "<NoSpcfdRsn>NORE</NoSpcfdRsn>"
        blocks[outer] = f"<{outer}><{inner}>{''.join(rows) or empty}</{inner}></{outer}>"
    paid = told.amount is not None
    quantity = f"<{'FaceAmt' if told.face else 'Unit'}>{told.quantity:f}</{'FaceAmt' if told.face else 'Unit'}>"
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:sese.024.001.12">',
            "<SctiesSttlmTxStsAdvc>",
            f"<TxId><AcctOwnrTxId>{told.reference}</AcctOwnrTxId></TxId>",
            *(blocks[name] for name in _XML_ORDER if name in blocks),
            "<TxDtls>",
            "<SfkpgAcct><Id>1234567</Id></SfkpgAcct>",
            f"<FinInstrmId><ISIN>{told.isin}</ISIN></FinInstrmId>",
            f"<SttlmQty><Qty>{quantity}</Qty></SttlmQty>",
            f'<SttlmAmt><Amt Ccy="{told.currency}">{told.amount:f}</Amt></SttlmAmt>' if paid else "",
            f"<SttlmDt><Dt><Dt>{told.isd}</Dt></Dt></SttlmDt>",
            f"<TradDt><Dt><Dt>{told.trade_date}</Dt></Dt></TradDt>",
            f"<SctiesMvmntTp>{'DELI' if told.is_delivery else 'RECE'}</SctiesMvmntTp>",
            f"<Pmt>{'APMT' if paid else 'FREE'}</Pmt>",
            "</TxDtls>",
            "</SctiesSttlmTxStsAdvc>",
            "</Document>",
        ]
    )


def _comma(figure: Decimal | None) -> str:
    text = f"{figure:f}"
    return text.replace(".", ",") if "." in text else f"{text},"


def _narrative(text: str) -> str:
    # 6*35x: a line of a narrative begins with neither colon nor hyphen.
    flat = " ".join(text.split())
    rows = [flat[at : at + 35] for at in range(0, len(flat), 35)]
    return "\n".join(f" {row}" if row[:1] in (":", "-") else row for row in rows)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)
