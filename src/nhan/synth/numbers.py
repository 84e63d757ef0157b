"""Numbers as Vietnam writes them: money, dates, phones, plates, codes, addresses of the web.

Each maker takes the dice and returns one short text.
"""

from __future__ import annotations

import unicodedata

from nhan.synth import corpus
from nhan.synth.dice import Dice

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_VISIBLE = "".join(map(chr, range(33, 127)))
_OFFICES = ("QĐ-UBND", "NĐ-CP", "TT-BTC", "QH13", "CV-SGD", "TTr-SNV", "KH-UBND", "HĐLĐ", "NQ-CP")
_WEEKDAYS = ("Thứ Hai", "Thứ Ba", "Thứ Tư", "Thứ Năm", "Thứ Sáu", "Thứ Bảy", "Chủ nhật")
_TO_PLAIN = str.maketrans("đĐ", "dD")


def of(dice: Dice, section: str) -> str:
    """An item of a list in `data/names.txt`."""
    return dice.pick(corpus.names()[section])


def digits(dice: Dice, count: int) -> str:
    """`count` random digits."""
    return "".join(dice.choices(_DIGITS, k=count))


def unmarked(text: str) -> str:
    """The text as printers without Vietnamese write it: no marks, d for đ."""
    plain = unicodedata.normalize("NFD", text.translate(_TO_PLAIN))
    return "".join(c for c in plain if not unicodedata.combining(c))


def amount(dice: Dice) -> str:
    """Money as receipts and contracts write it."""
    value = dice.randrange(1, 10 ** dice.randrange(1, 6)) * dice.pick((1, 100, 500, 1000, 1000))
    grouped = f"{value:,}"
    if dice.chance(0.55):
        grouped = grouped.replace(",", ".")
    elif dice.chance(0.15):
        grouped = grouped.replace(",", " ")
    tail = dice.pick(("", "", "", "đ", " đ", "₫", " ₫", " VNĐ", " VND", "VND", " đồng", ",00", "K"))
    if dice.chance(0.05):
        return dice.pick(("€", "$")) + f"{value / 100:,.2f}"
    return ("-" if dice.chance(0.04) else "") + grouped + tail


def date(dice: Dice) -> str:
    """A date, sometimes with a time, in the forms Vietnam uses."""
    day, month, year = dice.randint(1, 31), dice.randint(1, 12), dice.randint(1940, 2030)
    two = dice.chance(0.7)
    d, m = (f"{day:02}", f"{month:02}") if two else (str(day), str(month))
    form = dice.random()
    if form < 0.5:
        sep = dice.pick(("/", "/", "/", "-", ".", " / "))
        text = sep.join((d, m, str(year) if dice.chance(0.85) else f"{year % 100:02}"))
    elif form < 0.62:
        text = f"ngày {d} tháng {m} năm {year}"
    elif form < 0.7:
        text = f"{of(dice, 'province')}, ngày {d} tháng {m} năm {year}"
    elif form < 0.76:
        text = f"{year}-{month:02}-{day:02}"
    elif form < 0.82:
        text = f"{d}/{m}"
    elif form < 0.88:
        text = f"tháng {m}/{year}"
    else:
        text = f"{dice.pick(_WEEKDAYS)}, {d}/{m}/{year}"
    if dice.chance(0.25):
        text += dice.pick((" ", " ", " - ", "-", " lúc ")) + clock(dice)
    return text


def clock(dice: Dice) -> str:
    """A time of day."""
    h, m, s = dice.randint(0, 23), dice.randint(0, 59), dice.randint(0, 59)
    forms = (f"{h:02}:{m:02}", f"{h:02}:{m:02}:{s:02}", f"{h}h{m:02}", f"{h} giờ {m:02} phút")
    half = f"{h % 12 or 12}:{m:02} {'PM' if h > 11 else 'AM'}"
    return dice.pick((*forms, half, f"{h}g{m:02}"))


def phone(dice: Dice) -> str:
    """A Vietnamese phone number."""
    prefix = dice.pick(
        ("09", "03", "07", "08", "05", "024", "028", "1800", "1900", "+84 9", "0236")
    )
    rest = digits(dice, 10 - len(prefix) if len(prefix) < 4 else 6)
    text = prefix + rest
    sep = dice.pick(("", "", "", ".", " ", "-"))
    if sep:
        cut = dice.pick(((4, 7), (3, 6), (4, 6), (2, 6)))
        text = sep.join((text[: cut[0]], text[cut[0] : cut[1]], text[cut[1] :]))
    if dice.chance(0.1):
        text = f"({text[:3]}) {text[3:]}"
    return text


def plate(dice: Dice) -> str:
    """A vehicle plate."""
    series = dice.pick(_UPPER) + dice.pick(("", "", "1", "2", "9", dice.pick(_UPPER)))
    tail = digits(dice, 5)
    tail = f"{tail[:3]}.{tail[3:]}" if dice.chance(0.6) else tail[: dice.pick((4, 5))]
    return (
        f"{dice.randint(11, 99)}{dice.pick(('', '-'))}{series}{dice.pick((' ', '-', ' - '))}{tail}"
    )


def code(dice: Dice) -> str:
    """A document, product or transaction code."""
    form = dice.random()
    if form < 0.2:
        return "".join(dice.choices(_UPPER + _DIGITS, k=dice.randint(4, 14)))
    if form < 0.4:
        office = dice.pick(_OFFICES)
        return f"{dice.randint(1, 9999)}/{dice.randint(1990, 2030)}/{office}"
    if form < 0.55:
        count = dice.randint(2, 4)
        return "-".join(
            "".join(dice.choices(_UPPER + _DIGITS, k=dice.randint(2, 5))) for _ in range(count)
        )
    if form < 0.7:
        return dice.pick(("893", "955", "899", "880", "291")) + digits(dice, dice.pick((9, 10)))
    if form < 0.8:
        return f"{digits(dice, 10)}-{digits(dice, 3)}"
    if form < 0.9:
        return plate(dice)
    # Any visible ASCII, so that no mark of the charset stays unseen.
    return "".join(dice.choices(_VISIBLE, k=dice.randint(3, 12)))


def number(dice: Dice) -> str:
    """One of the number-like fields."""
    maker = dice.pick((amount, amount, date, date, phone, code, clock, quantity, identity, web))
    return maker(dice)


def quantity(dice: Dice) -> str:
    """A number with its unit."""
    value = dice.pick((str(dice.randint(1, 999)), f"{dice.uniform(0, 99):.{dice.randint(1, 3)}f}"))
    if dice.chance(0.4):
        value = value.replace(".", ",")
    unit = dice.pick(("%", "°C", " °C", "°", "km/h", " kWh", of(dice, "unit"), "+", "x2"))
    return value + dice.pick(("", " ")) + unit


def identity(dice: Dice) -> str:
    """The digits of an identity, insurance or tax number."""
    text = digits(dice, dice.pick((9, 12, 12, 10, 13)))
    if dice.chance(0.15):
        text = " ".join(text[i : i + 3] for i in range(0, len(text), 3))
    return text


def web(dice: Dice) -> str:
    """An address of the web or of mail."""
    words = [unmarked(dice.pick(corpus.syllables())).lower() for _ in range(dice.randint(1, 3))]
    host = "".join(w for w in words if w.isalpha()) or "nhan"
    ending = dice.pick((".com", ".vn", ".com.vn", ".net", ".edu.vn", ".gov.vn", ".org", ".info"))
    form = dice.random()
    if form < 0.35:
        user = unmarked(of(dice, "given")).lower() + dice.pick(("", ".", "_", "-"))
        mail = dice.pick(("gmail.com", "yahoo.com", host + ending))
        return f"{user}{digits(dice, dice.randint(0, 4))}@{mail}"
    if form < 0.6:
        return "www." + host + ending
    if form < 0.75:
        return f"Website: {host}{ending}"
    path = dice.pick(("", "/", "/index.html", "/tin-tuc", f"/?id={digits(dice, 4)}", "/a_b#c"))
    return dice.pick(("http://", "https://")) + host + ending + path
