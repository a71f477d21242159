"""Attention and training cases by name, the same for both sides (kernels/bench/attention_case.h)."""
import dataclasses
import functools
import re

SHAPE = re.compile(r"b(\d+)_hq(\d+)_hkv(\d+)_q(\d+)_kv(\d+)_d(\d+)$")
MASK = re.compile(r"(full|causal|causal_window(\d+)|documents(\d+))$")
PASSES, DTYPES = ("forward", "backward"), ("f32", "bf16")
DENSE_SHAPES = ("b1_hq8_hkv8_q64_kv64_d64", "b1_hq8_hkv8_q512_kv512_d64", "b1_hq8_hkv8_q512_kv512_d128",
                "b1_hq8_hkv8_q2048_kv2048_d64", "b1_hq8_hkv8_q2048_kv2048_d128", "b1_hq8_hkv1_q2048_kv2048_d64")


@dataclasses.dataclass(frozen=True)
class Attention:
    """attention/PASS/BACKEND/DTYPE/SHAPE/MASK; window: keys visible, self included, 0: all; documents: 0: none."""
    direction: str
    dtype: str
    batch: int
    q_heads: int
    kv_heads: int
    q_len: int
    kv_len: int
    dim: int
    mask: str

    def name(self, backend):
        return (f"attention/{self.direction}/{backend}/{self.dtype}/b{self.batch}_hq{self.q_heads}"
                f"_hkv{self.kv_heads}_q{self.q_len}_kv{self.kv_len}_d{self.dim}/{self.mask}")

    @property
    def causal(self):
        return self.mask != "full"

    @property
    def window(self):
        return int(MASK.match(self.mask).group(2) or 0)

    def documents(self):
        """Lengths (q, kv) of the sequences of a batch row, as even as they go."""
        count = int(MASK.match(self.mask).group(3) or 1)
        cut = lambda length: [n * length // count for n in range(count + 1)]
        return [(q1 - q0, k1 - k0) for q0, q1, k0, k1 in
                zip(cut(self.q_len), cut(self.q_len)[1:], cut(self.kv_len), cut(self.kv_len)[1:])]

    def pairs(self):
        """Visible pairs of a query and a key, over the batch, of one query head."""
        return self.batch * sum(visible_pairs(q, kv, self.causal, self.window) for q, kv in self.documents())

    def flops(self):
        """Useful ones: of visible pairs alone."""
        return self.pairs() * self.q_heads * self.dim * (4 if self.direction == "forward" else 10)

    def bytes(self):
        """What must be read and written at least: operands and results once, and lse."""
        size = 4 if self.dtype == "f32" else 2
        q = self.batch * self.q_len * self.q_heads * self.dim * size
        k = self.batch * self.kv_len * self.kv_heads * self.dim * size
        lse = self.batch * self.q_len * self.q_heads * 4
        return (2 * q + 2 * k if self.direction == "forward" else 4 * q + 4 * k) + lse


@functools.lru_cache(maxsize=None)
def visible_pairs(q_len, kv_len, causal, window):
    """The last query stands at the last key."""
    total = 0
    for i in range(q_len):
        at = i + kv_len - q_len
        last = min(kv_len - 1, at) if causal else kv_len - 1
        first = max(0, at - window + 1) if window else 0
        total += max(0, last - first + 1)
    return total


def parse(name):
    """The case of a name of any backend."""
    words = name.split("/")
    shape = SHAPE.match(words[4]) if len(words) == 6 else None
    if words[0] != "attention" or not shape or words[1] not in PASSES or not MASK.match(words[5]):
        raise ValueError(f"{name}: a case is attention/forward/cpu/f32/b1_hq8_hkv8_q2048_kv2048_d64/causal")
    return Attention(words[1], words[3], *map(int, shape.groups()), words[5])


def cases_of(shapes, masks, directions=PASSES):
    return [parse(f"attention/{direction}/cpu/{dtype}/{shape}/{mask}")
            for dtype in DTYPES for direction in directions for shape in shapes for mask in masks]


def dense():
    """The table of what both sides do best; its ratios have geometric means."""
    return cases_of(DENSE_SHAPES, ("causal", "full"))


def masked():
    """Where PyTorch computes the dense square: in no mean."""
    return cases_of(("b1_hq8_hkv8_q2048_kv2048_d64", "b1_hq8_hkv8_q8192_kv8192_d64"),
                    ("causal_window512", "documents8"))


def decoding():
    """Few queries, 8 query heads per KV head."""
    return cases_of([f"b1_hq32_hkv4_q{q}_kv{kv}_d128" for q in (1, 2, 8) for kv in (1024, 8192, 65536)],
                    ("causal",), ("forward",))


def long_window():
    """Whether a window costs its share of pairs: with and without it, one head."""
    return cases_of(("b1_hq1_hkv1_q32768_kv32768_d64",), ("causal", "causal_window512"))


@dataclasses.dataclass(frozen=True)
class Training:
    """A step, as fovea-bench-train names it: train/DTYPE/FAMILY_lL_cWIDTH_hqH_hkvK_vVOCABULARY/bB_tT."""
    title: str
    dtype: str
    family: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    vocab: int
    batch: int
    length: int

    def name(self):
        return (f"train/{self.dtype}/{self.family}_l{self.layers}_c{self.width}_hq{self.heads}"
                f"_hkv{self.kv_heads}_v{self.vocab}/b{self.batch}_t{self.length}")

    def tokens(self):
        return self.batch * self.length

    def hidden(self):
        return 4 * self.width if self.family == "gpt2" else 8 * self.width // 3 // 32 * 32

    def parameters(self):
        """With tied embeddings, as both sides have them."""
        c, kv = self.width, self.width // self.heads * self.kv_heads
        if self.family == "gpt2":
            return (self.vocab + self.length) * c + self.layers * (12 * c * c + 13 * c) + 2 * c
        return self.vocab * c + self.layers * (2 * c * c + 2 * c * kv + 3 * c * self.hidden() + 2 * c) + c

    def flops(self):
        """6 per parameter and token, and attention's visible pairs, forward and backward."""
        pairs = self.batch * self.length * (self.length + 1) // 2
        return 6 * self.parameters() * self.tokens() + self.layers * pairs * 14 * self.width

    def optimizer_bytes(self):
        """AdamW: weight, gradient and two moments are read, all but the gradient written; bf16: a copy too."""
        return self.parameters() * (28 if self.dtype == "f32" else 30)


def training():
    rows = [("GPT-2 124M, B4 T64", "gpt2", 12, 768, 12, 12, 50257, 4, 64),
            ("GPT-2 124M, B1 T1024", "gpt2", 12, 768, 12, 12, 50257, 1, 1024),
            ("6 layers, width 384, T256, B16", "llama", 6, 384, 6, 6, 256, 16, 256),
            ("4 layers, width 128, T64, B12", "llama", 4, 128, 4, 4, 256, 12, 64)]
    rows += [(f"Llama, 4 layers, width 256, T256, B16, kv_heads {kv}", "llama", 4, 256, 8, kv, 256, 16, 256)
             for kv in (8, 4, 1)]
    return [Training(title, dtype, *rest) for title, *rest in rows for dtype in DTYPES]
