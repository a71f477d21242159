"""Text that is hard on tokenizers: scripts, emoji with joiners, code, white space, digits, broken UTF-8. The same
bytes on every machine."""
import random
import unicodedata

SENTENCES = [
    "All human beings are born free and equal in dignity and rights; they're endowed with reason, aren't they?",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren – daß „Straße“ größer wäre, hätt' er's gewußt.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. L'œuvre d'été, c'est ça !",
    "Todos los seres humanos nacen libres e iguales; ¿qué más añadirías, señor?",
    "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق، وقد وُهِبوا عقلًا.",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。カタカナｶﾅ",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm.",
    "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა.",
    "Բոլոր մարդիկ ծնվում են ազատ ու հավասար։",
    "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇯🇵", "👍🏽", "1️⃣", "❤️‍🔥", "🧑🏿‍🚀", "©®™", "☃︎", "👩🏻‍❤️‍💋‍👨🏾"]
CODE = [
    "for (size_t i = 0; i < n; ++i) {\n    sum += x[i] * w[i];  // O(n)\n}\n",
    "def f(x, *, y=0x1F):\n\treturn {'a': x ** 2, \"b\": y << 3} if x != y else None\r\n",
    "SELECT * FROM t WHERE a>=10.5e-3 AND b<>'it''s';\n\n\n",
    "<div class=\"a-b c_d\">&nbsp;<!-- x --></div>\t\t\n",
    "https://example.org/a/b?c=d&e=%20#frag user@host.tld C:\\dir\\file.txt\n",
]
SPECIALS = ["<|endoftext|>", "<s>", "</s>", "<unk>", "<mask>", " <mask> ", "word", "xwordx", "<|im_start|>", "<0x41>", "▁", "▁▁a"]
SPACES = [" ", "  ", "    ", "\t", "\n", "\r\n", "\n\n\n", " \n ", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\u180e", "\u200b",
          "\x0b", "\x0c", "\x1c", " " * 17, " " * 40 + "\n"]
BROKEN = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80\x80",
          b"\xf0\x80\x80\x80", b"a\xe2\x28\xa1b", b"\xe2\x82\xe2\x82\xac"]
CONTRACTIONS = ["I'll", "YOU'RE", "it's", "IT'S", "we've", "I'M", "don't", "he'd", "'Tis", "x'ſ", "o''clock", "'s 't", "'LL"]
COMBINED = ["e\u0301", "a\u0323\u0307", "\u1100\u1161\u11a8", "q\u0307\u0323", "\u212b", "\ufb01", "\u0958", "o\u0308\u0304", "\u2126",
            "\uac00\u11a8", "\u0b47\u0b3e", "\u0301alone", "\uf900", "ﬀ½²"]


def assigned(draw):
    """A character that Unicode 13 has, of any plane."""
    while True:
        c = chr(draw.choice([draw.randrange(0x21, 0x3000), draw.randrange(0x3000, 0xD800), draw.randrange(0xE000, 0x10000),
                             draw.randrange(0x10000, 0x20000)]))
        # Categories have moved since, and which Unicode a library knows is no part of the comparison.
        if unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c) not in ("Cn", "Cs"):
            return c


def word(draw):
    letters = "etaoinshrdlcumwfgypbvk"
    return "".join(draw.choice(letters) for _ in range(draw.randrange(1, 12)))


def part(draw):
    """A few bytes of one kind."""
    kind = draw.randrange(12)
    if kind < 3:
        return draw.choice(SENTENCES).encode()
    if kind == 3:
        return " ".join(word(draw) for _ in range(draw.randrange(1, 12))).encode()
    if kind == 4:
        return draw.choice(CODE).encode()
    if kind == 5:
        return "".join(draw.choice(SPACES) for _ in range(draw.randrange(1, 4))).encode()
    if kind == 6:
        return "".join(draw.choice(EMOJI) for _ in range(draw.randrange(1, 4))).encode()
    if kind == 7:
        return str(draw.randrange(10 ** draw.randrange(1, 15))).encode() + draw.choice(["", ".5", "٣٤", "½", "²"]).encode()
    if kind == 8:
        return draw.choice(BROKEN)
    if kind == 9:
        return draw.choice(SPECIALS + CONTRACTIONS).encode()
    if kind == 10:
        return "".join(draw.choice(COMBINED) for _ in range(draw.randrange(1, 4))).encode()
    return "".join(assigned(draw) for _ in range(draw.randrange(1, 6))).encode()


def mixed_text(size, seed=0):
    """`size` bytes, about."""
    draw = random.Random(seed)
    text = b""
    parts = []
    length = 0
    while length < size:
        piece = part(draw) + draw.choice([b" ", b" ", b"", b"\n"])
        parts.append(piece)
        length += len(piece)
    return text.join(parts)
