"""The codes of currencies (ISO 4217, list of 1 January 2026)."""

from difflib import get_close_matches

_LIST = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA
MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD
RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD
USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XUA YER ZAR
ZMW ZWG
"""
CODES = frozenset(_LIST.split())
"""Currencies, funds and metals in use; without the codes for tests (XTS) and for no currency (XXX)."""


def checked_currency(code: str) -> str:
    """Return a currency's code in upper case. Raises ValueError when ISO 4217 has no such code."""
    if (upper := code.strip().upper()) in CODES:
        return upper
    near = get_close_matches(upper, sorted(CODES), 1)
    hint = f": did you mean {near[0]}?" if near else ", such as EUR"
    raise ValueError(f"is no currency code of ISO 4217{hint}")
