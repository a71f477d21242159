"""The wide grid of attention cases: a pairwise cover, the same every time, and each cell's regular neighbour."""
import dataclasses
import heapq
import itertools
import math

from cases import Attention

LENGTHS = (1, 2, 7, 16, 33, 64, 100, 128, 250, 512, 777, 1024, 2000, 4096, 8192, 32768)
DIMS = (32, 40, 59, 64, 80, 96, 111, 128, 256)
SHARES = ("equal", "quarter", "eighth", "one")  # KV heads, of the query heads
HEADS = ((1, 1), (1, 8), (2, 4), (4, 8), (1, 64), (8, 8))  # batch, query heads
MASKS = ("full", "causal", "causal_window512", "documents8")
FACTORS = (("forward", "backward"), ("f32", "bf16"), LENGTHS, DIMS, SHARES, HEADS, MASKS)
MOST_FLOPS = 2e11
REGULAR_DIMS = (32, 64, 128, 256)


def cell(direction, dtype, length, dim, share, heads, mask):
    """The case of a choice, or None where there is no such case."""
    batch, q_heads = heads
    divisor = {"equal": 1, "quarter": 4, "eighth": 8, "one": q_heads}[share]
    if q_heads % divisor or (mask == "documents8" and (batch > 1 or length < 8)):
        return None
    case = Attention(direction, dtype, batch, q_heads, q_heads // divisor, length, length, dim, mask)
    bound = batch * q_heads * length * length / 2 * dim * (4 if direction == "forward" else 10)
    if bound > 100 * MOST_FLOPS or case.flops() > MOST_FLOPS:  # the first is cheap to tell
        return None
    return case


def pairs_of(choice):
    return [(i, a, j, b) for (i, a), (j, b) in itertools.combinations(enumerate(choice), 2)]


def cover():
    """Cells in which each pair of values meets that meets in any: the greedy cover, ties by the choices' order."""
    cells = {choice: case for choice in itertools.product(*FACTORS) if (case := cell(*choice))}
    missing = {pair for choice in cells for pair in pairs_of(choice)}
    # What a choice adds only shrinks: an old count that still leads when it is taken anew is the largest.
    queue = [(-len(pairs_of(choice)), n, choice) for n, choice in enumerate(cells)]
    heapq.heapify(queue)
    taken = []
    while missing:
        _, n, choice = heapq.heappop(queue)
        adds = sum(pair in missing for pair in pairs_of(choice))
        if queue and (-adds, n) > queue[0][:2]:
            if adds:
                heapq.heappush(queue, (-adds, n, choice))
            continue
        missing -= set(pairs_of(choice))
        taken.append(cells[choice])
    return taken


def neighbour(case, threads):
    """What the cell's rate is held against: the same pass, dtype and mask at a regular size. The head size is the next
    of 32, 64, 128 and 256, lengths the power of two that is nearest by ratio, and there are at least as many query
    heads as threads, so that a single one shows whether work is found within it."""
    dim = next(regular for regular in REGULAR_DIMS if regular >= case.dim)
    length = 2 ** round(math.log2(case.q_len))
    more = 1
    while case.batch * case.q_heads * more < threads:
        more *= 2
    return dataclasses.replace(case, dim=dim, q_len=length, kv_len=length, q_heads=more * case.q_heads,
                               kv_heads=more * case.kv_heads)
