"""Texts that a corpus of sentences lacks: the fields of cards, receipts, forms and signs.

Each generator takes the dice and returns one line in NFC. `TEXTS` maps the names that recipes use
to generators; `text_of` draws one and finishes it (case, length, characters of the charset).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from nhan.synth import corpus
from nhan.synth.dice import Dice
from nhan.tasks.text.alphabet import ACCENTED
from nhan.tasks.text.charset import DEFAULT_CHARSET

_CHARSET = frozenset(DEFAULT_CHARSET)
_CONSONANTS = "b c ch d đ g gh gi h k kh l m n ng ngh nh p ph qu r s t th tr v x".split()
_UPPER_CODE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_TO_PLAIN = str.maketrans("đĐ", "dD")


def _of(dice: Dice, section: str) -> str:
    return dice.pick(corpus.names()[section])


def digits(dice: Dice, count: int) -> str:
    """`count` random digits."""
    return "".join(dice.choices(_DIGITS, k=count))


def unmarked(text: str) -> str:
    """The text as printers without Vietnamese write it: no marks, d for đ."""
    plain = unicodedata.normalize("NFD", text.translate(_TO_PLAIN))
    return "".join(c for c in plain if not unicodedata.combining(c))


# --- numbers ---------------------------------------------------------------------------------


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
        text = f"{_of(dice, 'province')}, ngày {d} tháng {m} năm {year}"
    elif form < 0.76:
        text = f"{year}-{month:02}-{day:02}"
    elif form < 0.82:
        text = f"{d}/{m}"
    elif form < 0.88:
        text = f"tháng {m}/{year}"
    else:
        text = f"{dice.pick(('Thứ Hai', 'Thứ Ba', 'Thứ Tư', 'Thứ Năm', 'Thứ Sáu', 'Thứ Bảy', 'Chủ nhật'))}, {d}/{m}/{year}"
    if dice.chance(0.25):
        text += dice.pick((" ", " ", " - ", "-", " lúc ")) + clock(dice)
    return text


def clock(dice: Dice) -> str:
    """A time of day."""
    h, m, s = dice.randint(0, 23), dice.randint(0, 59), dice.randint(0, 59)
    forms = (f"{h:02}:{m:02}", f"{h:02}:{m:02}:{s:02}", f"{h}h{m:02}", f"{h} giờ {m:02} phút")
    return dice.pick(forms + (f"{h % 12 or 12}:{m:02} {'PM' if h > 11 else 'AM'}", f"{h}g{m:02}"))


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
    series = dice.pick(_UPPER_CODE) + dice.pick(("", "", "1", "2", "9", dice.pick(_UPPER_CODE)))
    tail = digits(dice, 5)
    tail = f"{tail[:3]}.{tail[3:]}" if dice.chance(0.6) else tail[: dice.pick((4, 5))]
    return (
        f"{dice.randint(11, 99)}{dice.pick(('', '-'))}{series}{dice.pick((' ', '-', ' - '))}{tail}"
    )


def code(dice: Dice) -> str:
    """A document, product or transaction code."""
    form = dice.random()
    if form < 0.2:
        return "".join(dice.choices(_UPPER_CODE + _DIGITS, k=dice.randint(4, 14)))
    if form < 0.4:
        kind = dice.pick(
            ("QĐ-UBND", "NĐ-CP", "TT-BTC", "QH13", "CV-SGD", "TTr-SNV", "KH-UBND", "HĐLĐ")
        )
        return f"{dice.randint(1, 9999)}/{dice.randint(1990, 2030)}/{kind}"
    if form < 0.55:
        return "-".join(
            "".join(dice.choices(_UPPER_CODE + _DIGITS, k=dice.randint(2, 5)))
            for _ in range(dice.randint(2, 4))
        )
    if form < 0.7:
        return dice.pick(("893", "955", "899", "880", "291")) + digits(dice, dice.pick((9, 10)))
    if form < 0.8:
        return f"{digits(dice, 10)}-{digits(dice, 3)}"
    if form < 0.9:
        return plate(dice)
    # Any visible ASCII, so that no mark of the charset stays unseen.
    return "".join(dice.choices([chr(c) for c in range(33, 127)], k=dice.randint(3, 12)))


def number(dice: Dice) -> str:
    """One of the number-like fields."""
    maker = dice.pick((amount, amount, date, date, phone, code, clock, _quantity, _identity, _web))
    return maker(dice)


def _quantity(dice: Dice) -> str:
    value = dice.pick((str(dice.randint(1, 999)), f"{dice.uniform(0, 99):.{dice.randint(1, 3)}f}"))
    if dice.chance(0.4):
        value = value.replace(".", ",")
    unit = dice.pick(
        ("%", "°C", " °C", "°", "km/h", " kWh", "m²"[:1], _of(dice, "unit"), "+", "x2")
    )
    return value + dice.pick(("", " ")) + unit


def _identity(dice: Dice) -> str:
    text = digits(dice, dice.pick((9, 12, 12, 10, 13)))
    if dice.chance(0.15):
        text = " ".join(text[i : i + 3] for i in range(0, len(text), 3))
    return text


def _web(dice: Dice) -> str:
    words = [unmarked(dice.pick(corpus.syllables())).lower() for _ in range(dice.randint(1, 3))]
    host = "".join(w for w in words if w.isalpha()) or "nhan"
    ending = dice.pick((".com", ".vn", ".com.vn", ".net", ".edu.vn", ".gov.vn", ".org", ".info"))
    form = dice.random()
    if form < 0.35:
        user = unmarked(_of(dice, "given")).lower() + dice.pick(("", ".", "_", "-"))
        return f"{user}{digits(dice, dice.randint(0, 4))}@{dice.pick(('gmail.com', 'yahoo.com', host + ending))}"
    if form < 0.6:
        return "www." + host + ending
    if form < 0.75:
        return f"Website: {host}{ending}"
    path = dice.pick(("", "/", "/index.html", "/tin-tuc", f"/?id={digits(dice, 4)}", "/a_b#c"))
    return dice.pick(("http://", "https://")) + host + ending + path


# --- people and places -------------------------------------------------------------------------


def name(dice: Dice) -> str:
    """A personal name."""
    parts = [_of(dice, "surname")]
    parts += [_of(dice, "middle") for _ in range(dice.pick((0, 1, 1, 1, 2)))]
    parts.append(_of(dice, "given"))
    text = " ".join(parts).replace("H' ", "H'")
    if dice.chance(0.12):
        title = dice.pick(("Ông", "Bà", "Anh", "Chị", "ThS.", "TS.", "PGS.TS", "BS.", "GS.", "Cô"))
        text = f"{title} {text}"
    return text.upper() if dice.chance(0.3) else text


def place(dice: Dice) -> str:
    """A commune, village or quarter; most are two Sino-Vietnamese words."""
    words = [_of(dice, "placeword") for _ in range(dice.pick((1, 2, 2, 2, 2, 3)))]
    if dice.chance(0.12):
        words.append(dice.pick(("A", "B", "1", "2", "3", "I", "II", "Đông", "Tây", "Nam", "Bắc")))
    return " ".join(words)


def address(dice: Dice) -> str:
    """An address, from house to province, any part of which may be missing."""
    short = dice.chance(0.35)
    comma = dice.pick((", ", ", ", " ", " - ", ", "))
    parts = []
    if dice.chance(0.45):
        house = str(dice.randint(1, 999)) + dice.pick(
            ("", "", "", "A", "B", f"/{dice.randint(1, 99)}")
        )
        lead = dice.pick(("", "", "Số ", "Số nhà ", "SN ", "")) + house
        street = _of(dice, "street") if dice.chance(0.8) else place(dice)
        parts.append(f"{lead} {dice.pick(('', '', 'đường ', 'Đường ', 'phố ', 'đ. '))}{street}")
    if dice.chance(0.4):
        kind = dice.pick(
            (
                "Ấp",
                "Thôn",
                "Tổ",
                "Khu phố",
                "Tổ dân phố",
                "Xóm",
                "Khóm",
                "Bản",
                "Buôn",
                "KP",
                "Đội",
                "Khu",
            )
        )
        what = place(dice) if dice.chance(0.65) else str(dice.randint(1, 90))
        parts.append(f"{kind} {what}")
    if dice.chance(0.8):
        lead = (
            ""
            if short
            else dice.pick(
                ("Xã ", "xã ", "P. ", "Phường ", "phường ", "TT. ", "Thị trấn ", "X. ", "P.")
            )
        )
        parts.append(lead + (place(dice) if dice.chance(0.9) else str(dice.randint(1, 28))))
    if dice.chance(0.85):
        lead = (
            ""
            if short
            else dice.pick(("Huyện ", "huyện ", "H. ", "Quận ", "Q. ", "TP. ", "TX. ", "Tp ", "Q."))
        )
        parts.append(lead + _of(dice, "district"))
    if dice.chance(0.9) or not parts:
        lead = "" if short else dice.pick(("", "", "Tỉnh ", "tỉnh ", "T. ", "TP. ", "Thành phố "))
        parts.append(lead + _of(dice, "province"))
    return comma.join(parts)


def organisation(dice: Dice) -> str:
    """A company, school or office."""
    own = " ".join(_of(dice, "placeword") for _ in range(dice.randint(1, 2)))
    middle = dice.pick(
        ("", _of(dice, "business") + " ", f"{_of(dice, 'business')} và {_of(dice, 'business')} ")
    )
    text = f"{_of(dice, 'org')} {middle}{own}"
    if dice.chance(0.2):
        text += dice.pick((" Việt Nam", " VN", " Group", " & Co.", f" {_of(dice, 'province')}"))
    return text.upper() if dice.chance(0.4) else text


# --- documents ---------------------------------------------------------------------------------


def field(dice: Dice) -> str:
    """A form's label, its value, or both."""
    label = _of(dice, "field")
    values: tuple[Callable[[Dice], str], ...] = (
        name,
        address,
        date,
        number,
        organisation,
        phone,
        _identity,
        code,
        amount,
        _personal,
        address,
    )
    value = dice.pick(values)(dice)
    form = dice.random()
    if form < 0.2:
        text = label + dice.pick(("", ":", ":", " :", ": ..."))
    elif form < 0.5:
        text = value
    else:
        text = f"{label}{dice.pick((': ', ': ', ':', ' ', ' : '))}{value}"
    if dice.chance(0.12):
        text = f"{dice.pick(('-', '+', '1.', '2.', 'a)', 'b)', '*', '1)', 'I.', 'II.', '•'[:0] + '-'))} {text}"
    return text


def _personal(dice: Dice) -> str:
    return dice.pick(
        (
            _of(dice, "ethnic"),
            dice.pick(("Nam", "Nữ", "Không", "Việt Nam", "Phật giáo", "Thiên Chúa giáo", "12/12")),
            f"{_of(dice, 'mark')} c.{dice.randint(1, 5)}{dice.pick((',5', '', ',2'))}cm {_of(dice, 'body')}",
            f"{_of(dice, 'district')}, {_of(dice, 'province')}",
        )
    )


def receipt(dice: Dice) -> str:
    """A line of a shop's receipt."""
    form = dice.random()
    goods = _of(dice, "goods")
    size = f" {dice.pick((dice.randint(1, 9), dice.randint(1, 100) * 10))}{_of(dice, 'unit')}"
    if form < 0.28:
        text = goods + (size if dice.chance(0.6) else "")
        if dice.chance(0.3):
            text = f"{dice.pick(('CP', 'VM', 'G7', 'TH', 'DL', 'LOT', 'MEATDeli', 'Vinamilk'))}{dice.pick((' ', '_'))}{text}"
        if dice.chance(0.2):
            text += dice.pick((" NT", " (KM)", " *", " x1", " KM", "-L1", "(C)"))
    elif form < 0.42:
        text = f"{dice.pick(('893', '955', '899', '291'))}{digits(dice, 10)} {goods}{size if dice.chance(0.5) else ''}{dice.pick(('', ' NT'))}"
    elif form < 0.55:
        text = f"{goods} {dice.randint(1, 9)} {amount(dice)} {amount(dice)}"
    elif form < 0.78:
        label = _of(dice, "receipt")
        text = label + dice.pick(
            ("", ":", ": " + amount(dice), " " + amount(dice), ":" + digits(dice, 3))
        )
    elif form < 0.9:
        label = dice.pick(("Ngày", "Ngày bán", "Ngày in", "Giờ vào", "Date", "Ngày HĐ", "NGÀY"))
        text = f"{label}{dice.pick((': ', ':', ' '))}{date(dice)}"
    else:
        text = dice.pick((address, phone, code, _web, amount))(dice)
    return text


def sign(dice: Dice) -> str:
    """What shop signs, banners and captions say."""
    form = dice.random()
    if form < 0.45:
        text = " ".join(_of(dice, "sign") for _ in range(dice.pick((1, 1, 1, 2))))
        if dice.chance(0.25):
            text += (
                " "
                + dice.pick(
                    (
                        _of(dice, "surname"),
                        _of(dice, "given"),
                        str(dice.randint(1, 99)),
                        _of(dice, "english"),
                    )
                ).upper()
            )
    elif form < 0.6:
        text = f"{dice.pick(('Hotline', 'ĐT', 'Tel', 'ĐC', 'LH', 'Liên hệ', 'Mobile', 'Zalo'))}: {phone(dice)}"
        if dice.chance(0.3):
            text += f" - {phone(dice)}"
    elif form < 0.7:
        text = dice.pick(("ĐC:", "ĐC: ", "Đ/c: ", "CN1: ", "")) + address(dice)
    elif form < 0.85:
        text = corpus.passage(dice, dice.randint(8, 40))
        text = text.upper() if dice.chance(0.6) else text
    elif form < 0.93:
        goods = dice.sample(corpus.names()["goods"], 2)
        text = dice.pick((" - ", " & ", ", ", " • "[:1])).join(goods)
    else:
        text = f"{_of(dice, 'english').upper()} {dice.randint(5, 90)}%"
    if dice.chance(0.08):
        text += dice.pick(("!", "!!", "?", "...", "…", "!!!"))
    return text


def heading(dice: Dice) -> str:
    """A title of a document, chapter or card."""
    text = _of(dice, "heading")
    if dice.chance(0.3):
        lead = dice.pick(("Chương", "Điều", "Mục", "Phần", "Bài", "CHƯƠNG", "PHẦN"))
        count = dice.pick(("I", "II", "III", "IV", "V", "VI", str(dice.randint(1, 50))))
        text = f"{lead} {count}{dice.pick(('.', ':', ''))} {text.capitalize() if dice.chance(0.5) else text}"
    elif dice.chance(0.15):
        numbers = ".".join(str(dice.randint(1, 9)) for _ in range(dice.randint(1, 3)))
        text = f"{numbers}. {corpus.passage(dice, dice.randint(10, 40))}"
    return text


# --- language ----------------------------------------------------------------------------------


def sentence(dice: Dice) -> str:
    """Running text, cut anywhere, as lines of a page are."""
    text = corpus.passage(dice, dice.pick((20, 30, 40, 50, 60, 70, 80)))
    if dice.chance(0.1):
        left, right = dice.pick(("“”", '""', "()", "‘’", "[]", "''", "“”", "()"))
        words = text.split(" ")
        start = dice.randrange(len(words))
        end = min(len(words) - 1, start + dice.randint(0, 4))
        words[start] = left + words[start]
        words[end] += right
        text = " ".join(words)
    if dice.chance(0.06):
        text += dice.pick((";", ":", "…", "...", " –", "!", "?", ",", " -", "-"))
    return text


def phrase(dice: Dice) -> str:
    """A few words of running text."""
    return corpus.passage(dice, dice.randint(4, 24))


def syllables(dice: Dice) -> str:
    """Random legal syllables, so that letters must be read and not guessed."""
    count = dice.randint(1, 9)
    return " ".join(_cased(dice, dice.pick(corpus.syllables())) for _ in range(count))


def _cased(dice: Dice, word: str) -> str:
    point = dice.random()
    return word if point < 0.6 else word.capitalize() if point < 0.85 else word.upper()


def rare(dice: Dice) -> str:
    """Syllables drawn by letter, each of the 134 accented letters equally often in both cases."""
    words = []
    for _ in range(dice.randint(1, 6)):
        letter = dice.pick(ACCENTED)
        lower = letter.lower()
        found = corpus.syllables_with().get(lower, ())
        if found and dice.chance(0.8):
            word = dice.pick(found)
        else:
            word = (
                dice.pick(_CONSONANTS) + lower + dice.pick(("", "", "n", "m", "ng", "i", "u", "t"))
            )
        if letter.isupper():
            initial = word.startswith(lower)
            word = word.capitalize() if initial and dice.chance(0.5) else word.upper()
        words.append(word)
    return " ".join(words)


def english(dice: Dice) -> str:
    """Vietnamese with English words in it, or English alone."""
    words = corpus.passage(dice, dice.randint(6, 40)).split(" ") if dice.chance(0.6) else []
    for _ in range(dice.randint(1, 5)):
        word = _of(dice, "english")
        word = dice.pick((word, word.title(), word.upper()))
        words.insert(dice.randint(0, len(words)), word)
    return " ".join(words)


def plain(dice: Dice) -> str:
    """Vietnamese written without its marks, as old printers and messages do."""
    return unmarked(dice.pick((receipt, address, name, phrase, field, sign))(dice))


TEXTS: Mapping[str, Callable[[Dice], str]] = {
    "sentence": sentence,
    "phrase": phrase,
    "syllables": syllables,
    "rare": rare,
    "address": address,
    "name": name,
    "field": field,
    "receipt": receipt,
    "number": number,
    "sign": sign,
    "heading": heading,
    "english": english,
    "code": code,
    "unmarked": plain,
}

# What each look usually shows. Recipes multiply these.
HABITS: Mapping[str, Mapping[str, float]] = {
    "print": {"sentence": 40, "phrase": 10, "syllables": 6, "rare": 8, "address": 4, "name": 3, "field": 6, "receipt": 2, "number": 4, "sign": 1, "heading": 3, "english": 5, "code": 3, "unmarked": 2},
    "scan": {"sentence": 45, "phrase": 8, "syllables": 4, "rare": 7, "address": 4, "name": 4, "field": 10, "number": 5, "heading": 6, "english": 3, "code": 3, "unmarked": 1},
    "photo": {"sentence": 48, "phrase": 8, "syllables": 4, "rare": 7, "address": 4, "name": 3, "field": 8, "receipt": 3, "number": 4, "sign": 2, "heading": 5, "english": 3, "code": 2, "unmarked": 2},
    "receipt": {"receipt": 62, "address": 7, "number": 8, "name": 3, "unmarked": 8, "rare": 5, "english": 3, "code": 4},
    "card": {"field": 40, "name": 14, "address": 18, "number": 6, "heading": 12, "rare": 7, "code": 3},
    "scene": {"sign": 55, "heading": 6, "phrase": 10, "address": 6, "number": 6, "name": 3, "english": 7, "rare": 7},
    "handwriting": {"address": 34, "name": 12, "sentence": 18, "phrase": 10, "field": 7, "number": 6, "rare": 6, "syllables": 5, "heading": 1, "unmarked": 1},
    "short": {"phrase": 16, "number": 24, "name": 12, "syllables": 10, "rare": 10, "field": 10, "sign": 6, "code": 8, "english": 4},
}  # fmt: skip

_SHORT_CHARS = 16


def recase(dice: Dice, text: str) -> str:
    """Now and then all capitals or title case."""
    point = dice.random()
    if point < 0.07:
        return text.upper()
    if point < 0.11:
        return re.sub(r"\S+", lambda m: m[0][:1].upper() + m[0][1:], text)
    return text


def shorten(dice: Dice, text: str, length: int) -> str:
    """Cut at a space to at most `length` characters; a single long word is cut inside."""
    if len(text) <= length:
        return text
    words = text.split(" ")
    start = dice.randrange(len(words)) if dice.chance(0.5) else 0
    kept = words[start]
    for word in words[start + 1 :]:
        if len(kept) + 1 + len(word) > length:
            break
        kept += " " + word
    return kept[:length].strip()


def text_of(dice: Dice, kind: str, weights: Mapping[str, float], max_chars: int) -> str:
    """One line of text for a look.

    Args:
        dice: of the line.
        kind: the look, a key of `HABITS`.
        weights: factors on the habit's shares by name of text; missing names count 1.
        max_chars: longest text.

    Returns:
        NFC text of charset characters, single spaces inside, none at the ends, never empty.
    """
    shares = {t: share * weights.get(t, 1.0) for t, share in HABITS[kind].items()}
    if not sum(shares.values()) > 0:
        shares = dict(weights)
    limit = min(max_chars, dice.randint(1, _SHORT_CHARS)) if kind == "short" else max_chars
    for _ in range(8):
        text = recase(dice, TEXTS[dice.weighted(shares)](dice))
        text = unicodedata.normalize("NFC", "".join(c for c in text if c in _CHARSET))
        text = shorten(dice, " ".join(text.split()), limit)
        if text:
            return text
    return digits(dice, min(4, limit))
