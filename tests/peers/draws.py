"""The samples that fovea draws, drawn again: for scripts that compare with it."""
DATA_ORDER = 2  # RandomUse in src/core/random.h


def philox(key, high, low):
    """Philox 4x32-10, as src/core/random.h counts."""
    mask = 0xFFFFFFFF
    k0, k1 = key & mask, key >> 32
    c = [low & mask, low >> 32, high & mask, high >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & mask, (a >> 32) ^ c[3] ^ k1, a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c


def sample_start(seed, n, bound):
    """Where the n-th training sample of a seed begins, of `bound` places."""
    bits = philox(seed, DATA_ORDER << 32, n)
    return (((bits[1] << 32) | bits[0]) * bound) >> 64
