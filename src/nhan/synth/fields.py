"""The fields of forms, cards, receipts and signs: people, places, goods, titles.

Each maker takes the dice and returns one line; `generators` finishes it.
"""

from __future__ import annotations

from collections.abc import Callable

from nhan.synth import corpus
from nhan.synth.dice import Dice
from nhan.synth.numbers import amount, code, date, digits, identity, number, of, phone, web

_VILLAGES = ("Ấp", "Thôn", "Tổ", "Khu phố", "Xóm", "Khóm", "Bản", "Buôn", "KP", "Đội", "Khu", "Phố")
_COMMUNES = ("Xã ", "xã ", "P. ", "Phường ", "phường ", "TT. ", "Thị trấn ", "X. ", "P.")
_DISTRICTS = ("Huyện ", "huyện ", "H. ", "Quận ", "Q. ", "TP. ", "TX. ", "Tp ", "Q.")
_PROVINCES = ("", "", "Tỉnh ", "tỉnh ", "T. ", "TP. ", "Thành phố ")
_BULLETS = ("-", "-", "+", "1.", "2.", "a)", "b)", "*", "1)", "I.", "II.")
_BRANDS = ("CP", "VM", "G7", "TH", "DL", "LOT", "MEATDeli", "Vinamilk")
_CONTACTS = ("Hotline", "ĐT", "Tel", "ĐC", "LH", "Liên hệ", "Mobile", "Zalo")


def name(dice: Dice) -> str:
    """A personal name."""
    parts = [of(dice, "surname")]
    parts += [of(dice, "middle") for _ in range(dice.pick((0, 1, 1, 1, 2)))]
    parts.append(of(dice, "given"))
    text = " ".join(parts).replace("H' ", "H'")
    if dice.chance(0.12):
        title = dice.pick(("Ông", "Bà", "Anh", "Chị", "ThS.", "TS.", "PGS.TS", "BS.", "GS.", "Cô"))
        text = f"{title} {text}"
    return text.upper() if dice.chance(0.3) else text


def place(dice: Dice) -> str:
    """A commune, village or quarter; most are two Sino-Vietnamese words."""
    words = [of(dice, "placeword") for _ in range(dice.pick((1, 2, 2, 2, 2, 3)))]
    if dice.chance(0.12):
        words.append(dice.pick(("A", "B", "1", "2", "3", "I", "II", "Đông", "Tây", "Nam", "Bắc")))
    return " ".join(words)


def _house(dice: Dice) -> str:
    house = str(dice.randint(1, 999)) + dice.pick(("", "", "", "A", "B", f"/{dice.randint(1, 99)}"))
    lead = dice.pick(("", "", "Số ", "Số nhà ", "SN ", ""))
    street = of(dice, "street") if dice.chance(0.8) else place(dice)
    return f"{lead}{house} {dice.pick(('', '', 'đường ', 'Đường ', 'phố ', 'đ. '))}{street}"


def _village(dice: Dice) -> str:
    what = place(dice) if dice.chance(0.65) else str(dice.randint(1, 90))
    return f"{dice.pick(_VILLAGES)} {what}"


def address(dice: Dice) -> str:
    """An address, from house to province, any part of which may be missing."""
    bare = dice.chance(0.35)
    parts = []
    if dice.chance(0.45):
        parts.append(_house(dice))
    if dice.chance(0.4):
        parts.append(_village(dice))
    if dice.chance(0.8):
        what = place(dice) if dice.chance(0.9) else str(dice.randint(1, 28))
        parts.append(what if bare else dice.pick(_COMMUNES) + what)
    if dice.chance(0.85):
        parts.append(("" if bare else dice.pick(_DISTRICTS)) + of(dice, "district"))
    if dice.chance(0.9) or not parts:
        parts.append(("" if bare else dice.pick(_PROVINCES)) + of(dice, "province"))
    return dice.pick((", ", ", ", " ", " - ", ", ")).join(parts)


def locality(dice: Dice) -> str:
    """An address as forms ask for it: bare names, no commas."""
    parts = []
    if dice.chance(0.6):
        parts.append(_village(dice))
    elif dice.chance(0.3):
        parts.append(f"{dice.randint(1, 400)} {of(dice, 'street')}")
    parts.append(place(dice))
    lead = f"{dice.pick(('Huyện', 'Tp', 'Thị Xã', 'Quận'))} " if dice.chance(0.12) else ""
    parts.append(lead + of(dice, "district"))
    if dice.chance(0.95):
        parts.append(of(dice, "province"))
    return " ".join(parts).replace(" - ", " ")


def organisation(dice: Dice) -> str:
    """A company, school or office."""
    own = " ".join(of(dice, "placeword") for _ in range(dice.randint(1, 2)))
    first, second = of(dice, "business"), of(dice, "business")
    middle = dice.pick(("", f"{first} ", f"{first} và {second} "))
    text = f"{of(dice, 'org')} {middle}{own}"
    if dice.chance(0.2):
        text += dice.pick((" Việt Nam", " VN", " Group", " & Co.", f" {of(dice, 'province')}"))
    return text.upper() if dice.chance(0.4) else text


def field(dice: Dice) -> str:
    """A form's label, its value, or both."""
    label = of(dice, "field")
    value = dice.pick(_VALUES)(dice)
    form = dice.random()
    if form < 0.2:
        text = label + dice.pick(("", ":", ":", " :", ": ..."))
    elif form < 0.5:
        text = value
    else:
        text = f"{label}{dice.pick((': ', ': ', ':', ' ', ' : '))}{value}"
    return f"{dice.pick(_BULLETS)} {text}" if dice.chance(0.12) else text


def _personal(dice: Dice) -> str:
    point = dice.random()
    if point < 0.25:
        return of(dice, "ethnic")
    if point < 0.5:
        return dice.pick(
            ("Nam", "Nữ", "Không", "Việt Nam", "Phật giáo", "Thiên Chúa giáo", "12/12")
        )
    if point < 0.75:
        size = f"{dice.randint(1, 5)}{dice.pick((',5', '', ',2'))}"
        return f"{of(dice, 'mark')} c.{size}cm {of(dice, 'body')}"
    return f"{of(dice, 'district')}, {of(dice, 'province')}"


_VALUES: tuple[Callable[[Dice], str], ...] = (
    *(name, address, address, date, number, organisation),
    *(phone, identity, code, amount, _personal),
)


def receipt(dice: Dice) -> str:
    """A line of a shop's receipt."""
    form = dice.random()
    goods = of(dice, "goods")
    size = f" {dice.pick((dice.randint(1, 9), dice.randint(1, 100) * 10))}{of(dice, 'unit')}"
    if form < 0.28:
        text = goods + (size if dice.chance(0.6) else "")
        if dice.chance(0.3):
            text = dice.pick(_BRANDS) + dice.pick((" ", "_")) + text
        if dice.chance(0.2):
            text += dice.pick((" NT", " (KM)", " *", " x1", " KM", "-L1", "(C)"))
    elif form < 0.42:
        barcode = dice.pick(("893", "955", "899", "291")) + digits(dice, 10)
        text = f"{barcode} {goods}{size if dice.chance(0.5) else ''}{dice.pick(('', ' NT'))}"
    elif form < 0.55:
        text = f"{goods} {dice.randint(1, 9)} {amount(dice)} {amount(dice)}"
    elif form < 0.78:
        value = amount(dice)
        tail = dice.pick(("", ":", f": {value}", f" {value}", ":" + digits(dice, 3)))
        text = of(dice, "receipt") + tail
    elif form < 0.9:
        label = dice.pick(("Ngày", "Ngày bán", "Ngày in", "Giờ vào", "Date", "Ngày HĐ", "NGÀY"))
        text = f"{label}{dice.pick((': ', ':', ' '))}{date(dice)}"
    else:
        text = dice.pick((address, phone, code, web, amount))(dice)
    return text.upper() if dice.chance(0.15) else text  # many printers know capitals only


def sign(dice: Dice) -> str:
    """What shop signs, banners and captions say."""
    form = dice.random()
    if form < 0.45:
        text = " ".join(of(dice, "sign") for _ in range(dice.pick((1, 1, 1, 2))))
        if dice.chance(0.25):
            whose = dice.pick(("surname", "given", "english"))
            text += " " + (
                of(dice, whose).upper() if dice.chance(0.7) else str(dice.randint(1, 99))
            )
    elif form < 0.6:
        text = f"{dice.pick(_CONTACTS)}: {phone(dice)}"
        if dice.chance(0.3):
            text += f" - {phone(dice)}"
    elif form < 0.7:
        text = dice.pick(("ĐC:", "ĐC: ", "Đ/c: ", "CN1: ", "")) + address(dice)
    elif form < 0.85:
        text = corpus.passage(dice, dice.randint(8, 40))
        text = text.upper() if dice.chance(0.6) else text
    elif form < 0.93:
        goods = dice.sample(corpus.names()["goods"], 2)
        text = dice.pick((" - ", " & ", ", ", " + ")).join(goods)
    else:
        text = f"{of(dice, 'english').upper()} {dice.randint(5, 90)}%"
    if dice.chance(0.08):
        text += dice.pick(("!", "!!", "?", "...", "…", "!!!"))
    return text


def heading(dice: Dice) -> str:
    """A title of a document, chapter or card."""
    text = of(dice, "heading")
    if dice.chance(0.3):
        lead = dice.pick(("Chương", "Điều", "Mục", "Phần", "Bài", "CHƯƠNG", "PHẦN"))
        count = dice.pick(("I", "II", "III", "IV", "V", "VI", str(dice.randint(1, 50))))
        text = text.capitalize() if dice.chance(0.5) else text
        text = f"{lead} {count}{dice.pick(('.', ':', ''))} {text}"
    elif dice.chance(0.15):
        counts = ".".join(str(dice.randint(1, 9)) for _ in range(dice.randint(1, 3)))
        text = f"{counts}. {corpus.passage(dice, dice.randint(10, 40))}"
    return text
