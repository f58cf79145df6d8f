"""Ed25519 verification, BLAKE3 and AES-256-GCM in plain Python, for verify_bundle.py: short and slow."""

import hashlib
import struct

# --- Ed25519 (RFC 8032, section 6) ---------------------------------------------------------------------------------------
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    out = (0, 1, 1, 0)
    while n:
        out, p, n = add(out, p) if n & 1 else out, add(p, p), n >> 1
    return out


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P or (sign and not x):
        raise ValueError("not a point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    """Whether `signature` is the key's over `message`."""
    if len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % Q
    left, right = times(s, BASE), add(point(signature[:32]), times(h, point(key)))
    return s < Q and (left[0] * right[2] - right[0] * left[2]) % P == 0 == (left[1] * right[2] - right[1] * left[2]) % P


# --- BLAKE3 (its paper, section 2), plain and keyed ----------------------------------------------------------------------
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIX = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def compress(chain, block, counter, length, flags):
    m = struct.unpack("<16I", block.ljust(64, b"\0"))
    v = list(chain) + list(IV[:4]) + [counter & 0xFFFFFFFF, counter >> 32, length, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(MIX):
            for word, turn_d, turn_b in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
                x = v[d] ^ v[a]
                v[d] = (x >> turn_d | x << 32 - turn_d) & 0xFFFFFFFF
                v[c] = (v[c] + v[d]) & 0xFFFFFFFF
                x = v[b] ^ v[c]
                v[b] = (x >> turn_b | x << 32 - turn_b) & 0xFFFFFFFF
        m = [m[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)] + [v[i + 8] ^ chain[i] for i in range(8)]


def blake3(data, key=None, length=32):
    """BLAKE3, keyed when there is a key of 32 bytes; up to 64 bytes of it."""
    start, mode = (struct.unpack("<8I", key), 16) if key else (IV, 0)

    def tree(data, counter, root):
        if len(data) <= 1024:
            chain, blocks = start, [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
            for i, block in enumerate(blocks):
                flags = mode | (i == 0) | (2 | root if i == len(blocks) - 1 else 0)
                chain = compress(chain[:8], block, counter, len(block), flags)
            return chain
        left = 1024 << ((len(data) - 1) // 1024).bit_length() - 1
        halves = tree(data[:left], counter, 0)[:8] + tree(data[left:], counter + left // 1024, 0)[:8]
        return compress(start, struct.pack("<16I", *halves), 0, 64, mode | 4 | root)

    return struct.pack("<16I", *tree(data, 0, 8))[:length]


# --- AES-256-GCM (FIPS 197, NIST SP 800-38D), opening alone --------------------------------------------------------------
def double(a):
    return (a << 1 ^ (0x11B if a & 0x80 else 0)) & 0xFF


def sbox():
    table, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= double(p)  # times 3
        for turn in (1, 2, 4):  # by 3
            q ^= q << turn
        q = (q & 0xFF) ^ (0x09 if q & 0x80 else 0)
        turns = [q << n | q >> 8 - n for n in range(5)]
        table[p] = (turns[0] ^ turns[1] ^ turns[2] ^ turns[3] ^ turns[4] ^ 0x63) & 0xFF
        if p == 1:
            return table


SBOX = sbox()


def round_keys(key):
    words, round_constant = [list(key[i : i + 4]) for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0], round_constant = word[0] ^ round_constant, double(round_constant)
        elif i % 8 == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[-8], word)])
    return [sum(words[i : i + 4], []) for i in range(0, 60, 4)]


def aes(keys, block):
    state = [a ^ b for a, b in zip(block, keys[0])]
    for number, key in enumerate(keys[1:], 1):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 14:
            columns = [state[i : i + 4] for i in range(0, 16, 4)]
            state = [double(c[i] ^ c[(i + 1) % 4]) ^ c[i] ^ c[0] ^ c[1] ^ c[2] ^ c[3] for c in columns for i in range(4)]
        state = [a ^ b for a, b in zip(state, key)]
    return bytes(state)


def times_in_gcm(x, y):
    out = 0
    for bit in range(127, -1, -1):
        out ^= y if x >> bit & 1 else 0
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return out


def gcm_open(key, nonce, bound, sealed):
    """The plain bytes of `sealed`, tag last; None when they, or what they are bound to, were changed."""
    keys, (text, tag) = round_keys(key), (sealed[:-16], sealed[-16:])
    secret, mark = int.from_bytes(aes(keys, bytes(16)), "big"), 0
    padded = b"".join(part + bytes(-len(part) % 16) for part in (bound, text))
    padded += struct.pack(">QQ", 8 * len(bound), 8 * len(text))
    for i in range(0, len(padded), 16):
        mark = times_in_gcm(mark ^ int.from_bytes(padded[i : i + 16], "big"), secret)
    stream = b"".join(aes(keys, nonce + struct.pack(">I", n)) for n in range(1, 2 + (len(text) + 15) // 16))
    if bytes(a ^ b for a, b in zip(mark.to_bytes(16, "big"), stream)) != tag:
        return None
    return bytes(a ^ b for a, b in zip(text, stream[16:]))
