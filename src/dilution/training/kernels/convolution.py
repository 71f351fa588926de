"""3×3 convolutions of R replicas as Triton kernels whose grid has a replica axis.

Maps lie in memory as (R, B, H + 2, W + 2, C), channels last, with a border of zeros one pixel wide
that is written once: no load of a neighbour needs a mask. Weights of a replica lie as (9, C_in,
C_out), tap by tap, in a row of all its parameters. Each kernel's docstring states the sum that it
computes; r is the replica, n the image, (h, w) the pixel, t = (i, j) with i, j in {−1, 0, 1} the
tap, c and o the channels in and out.

No kernel adds with atomics, and no tile depends on R: a replica is bit-identical in any group.
"""

import triton
import triton.language as tl


@triton.jit
def pixel(m, H: tl.constexpr, W: tl.constexpr, WINDOWS: tl.constexpr):
    """Return image, row and column of pixel m of a replica.

    With WINDOWS the four pixels of a 2×2 window follow each other, and an odd last row or column,
    which no window covers, is left out.
    """
    if WINDOWS:
        corner = m % 4
        window = m // 4
        n = window // ((H // 2) * (W // 2))
        place = window % ((H // 2) * (W // 2))
        h = (place // (W // 2)) * 2 + corner // 2
        w = (place % (W // 2)) * 2 + corner % 2
    else:
        n = m // (H * W)
        place = m % (H * W)
        h = place // W
        w = place % W
    return n, h, w


@triton.jit
def padded(n, h, w, H: tl.constexpr, W: tl.constexpr):
    """Return the place of a pixel of a replica among its pixels with border."""
    return (n * (H + 2) + h + 1) * (W + 2) + w + 1


@triton.jit
def tap_offset(tap, W: tl.constexpr):
    """Return how far the neighbour at a tap (0 … 8, row by row) is from its pixel, in pixels."""
    return (tap // 3 - 1) * (W + 2) + tap % 3 - 1


@triton.jit
def relu(x):
    """Return max(0, x), and no number where x is none: a replica that diverges shows it in its loss."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def forward(
    x, weight, bias, y, argmax, row_length,
    B: tl.constexpr, H: tl.constexpr, W: tl.constexpr, CI: tl.constexpr, CO: tl.constexpr,
    POOL: tl.constexpr, BORDER: tl.constexpr, GATHER: tl.constexpr,
    M: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Compute a convolution with its bias and ReLU, and with POOL its max-pool.

    y[r, n, h, w, o] = max(0, bias[r, o] + Σ_t Σ_c x[r, n, (h, w) + t, c] weight[r, t, c, o]).

    With POOL y is the largest of each 2×2 window, and `argmax` says which of the four it was (4
    where all are ≤ 0): all that the backward pass needs of the map before pooling. With GATHER the
    sum over t and c is one product of depth BK ≥ 9 CI, for inputs of few channels; otherwise nine
    products of depth CI. Without BORDER y is (R, B, H', W', CO).
    """
    r = tl.program_id(1).to(tl.int64)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n, h, w = pixel(m, H, W, POOL)
    o = tl.arange(0, CO)
    place = tl.where(m < M, padded(n, h, w, H, W), W + 3)
    x += r * (B * (H + 2) * (W + 2) * CI)
    weight += r * row_length
    if GATHER:
        k = tl.arange(0, BK)
        inside = k < 9 * CI
        offset = tl.where(inside, tap_offset(k // CI, W) * CI + k % CI, 0)
        a = tl.load(x + place[:, None] * CI + offset[None, :])
        b = tl.load(weight + k[:, None] * CO + o[None, :], mask=inside[:, None], other=0.0)
        sums = tl.dot(a, b, input_precision="ieee")
    else:
        sums = tl.zeros((BM, CO), tl.float32)
        c = tl.arange(0, CI)
        rows = x + place[:, None] * CI + c[None, :]
        columns = weight + c[:, None] * CO + o[None, :]
        for tap in range(9):
            a = tl.load(rows + tap_offset(tap, W) * CI)
            sums = tl.dot(a, tl.load(columns + tap * CI * CO), sums, input_precision="ieee")
    sums += tl.load(bias + r * row_length + o)[None, :]
    kind = y.dtype.element_ty
    if POOL:
        window = tl.program_id(0) * (BM // 4) + tl.arange(0, BM // 4)
        four = tl.reshape(sums, (BM // 4, 4, CO))
        largest = tl.max(four, 1)
        which = tl.where(largest > 0, tl.argmax(four, 1), 4)
        n, h, w = pixel(window, H // 2, W // 2, False)
        inside = (window < M // 4)[:, None]
        if BORDER:
            out = r * (B * (H // 2 + 2) * (W // 2 + 2)) + padded(n, h, w, H // 2, W // 2)
        else:
            out = r * (M // 4) + window
        tl.store(y + out[:, None] * CO + o[None, :], relu(largest).to(kind), mask=inside)
        argmax += r * (M // 4 * CO)
        tl.store(argmax + window[:, None] * CO + o[None, :], which.to(tl.uint8), mask=inside)
    else:
        out = r * (B * (H + 2) * (W + 2)) + place if BORDER else r * M + m
        tl.store(y + out[:, None] * CO + o[None, :], relu(sums).to(kind), mask=(m < M)[:, None])


@triton.jit
def unpool(
    dp, argmax, dy,
    B: tl.constexpr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, M: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Pass the gradient of a pooled map back to the map before pooling.

    dy[r, n, h, w, c] = dp[r, n, h // 2, w // 2, c] where (h, w) is the largest of its window, else 0.
    `dp` has no border; `dy` is the gradient of the map of H × W pixels before pooling. M counts the
    pooled pixels.
    """
    r = tl.program_id(1).to(tl.int64)
    window = tl.program_id(0) * BM + tl.arange(0, BM)
    n, h, w = pixel(window, H // 2, W // 2, False)
    c = tl.arange(0, C)
    inside = (window < M)[:, None]
    flat = r * (M * C) + window[:, None] * C + c[None, :]
    gradient = tl.load(dp + flat, mask=inside, other=0.0)
    which = tl.load(argmax + flat, mask=inside, other=4)
    out = padded(n, 2 * h, 2 * w, H, W)[:, None] * C + c[None, :]
    dy += r * (B * (H + 2) * (W + 2) * C)
    for corner in tl.static_range(4):
        step = ((corner // 2) * (W + 2) + corner % 2) * C
        tl.store(
            dy + out + step, tl.where(which == corner, gradient, 0.0).to(dy.dtype.element_ty), mask=inside
        )


@triton.jit
def input_gradient(
    dy, weight, x, argmax, dx, row_length,
    B: tl.constexpr, H: tl.constexpr, W: tl.constexpr, CI: tl.constexpr, CO: tl.constexpr,
    UNPOOL: tl.constexpr, HB: tl.constexpr, WB: tl.constexpr, M: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a convolution by its input x, and pass it back through x's ReLU.

    g[r, n, h, w, c] = Σ_t Σ_o dy[r, n, (h, w) − t, o] weight[r, t, c, o].

    dx[r, n, h, w, c] is g where x > 0, else 0. With UNPOOL x is a pooled map, and dx the gradient
    of the map of HB × WB pixels before pooling: g where `argmax` points, else 0.
    """
    r = tl.program_id(1).to(tl.int64)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n, h, w = pixel(m, H, W, False)
    c = tl.arange(0, CI)
    o = tl.arange(0, CO)
    inside = (m < M)[:, None]
    place = tl.where(m < M, padded(n, h, w, H, W), W + 3)
    rows = dy + r * (B * (H + 2) * (W + 2) * CO) + place[:, None] * CO + o[None, :]
    columns = weight + r * row_length + c[None, :] * CO + o[:, None]
    sums = tl.zeros((BM, CI), tl.float32)
    for tap in range(9):
        a = tl.load(rows - tap_offset(tap, W) * CO)
        sums = tl.dot(a, tl.load(columns + tap * CI * CO), sums, input_precision="ieee")
    kind = dx.dtype.element_ty
    if UNPOOL:
        which = tl.load(argmax + r * (M * CI) + m[:, None] * CI + c[None, :], mask=inside, other=4)
        out = padded(n, 2 * h, 2 * w, HB, WB)[:, None] * CI + c[None, :]
        dx += r * (B * (HB + 2) * (WB + 2) * CI)
        for corner in tl.static_range(4):
            step = ((corner // 2) * (WB + 2) + corner % 2) * CI
            tl.store(dx + out + step, tl.where(which == corner, sums, 0.0).to(kind), mask=inside)
    else:
        at = r * (B * (H + 2) * (W + 2) * CI) + place[:, None] * CI + c[None, :]
        tl.store(dx + at, tl.where(tl.load(x + at) > 0, sums, 0.0).to(kind), mask=inside)


@triton.jit
def weight_gradient(
    x, dy, parts,
    B: tl.constexpr, H: tl.constexpr, W: tl.constexpr, CI: tl.constexpr, CO: tl.constexpr,
    M: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, TILES: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a convolution by its weights and bias, over one part of the pixels.

    It is Σ_n Σ_h Σ_w x[r, n, (h, w) + t, c] dy[r, n, h, w, o] for every t, c, o, and Σ dy for the bias.
    The rows of `parts`, shape (R, SPLITS, 9 CI + 1, CO), are (t, c) and, last, the bias;
    :func:`add_parts` adds the parts up. A program takes TILES tiles of BM pixels and BK of the
    rows.
    """
    r = tl.program_id(2).to(tl.int64)
    split = tl.program_id(0)
    k = tl.program_id(1) * BK + tl.arange(0, BK)
    o = tl.arange(0, CO)
    inside = k < 9 * CI
    # Rows beyond the last tap read the middle one, and are not stored. The tap is replaced, not the offset:
    # so the compiler sees that CI neighbours lie side by side, and loads them at once, ten times as fast.
    tap = tl.where(inside, k // CI, 4)
    offset = tap_offset(tap, W) * CI + k % CI
    x += r * (B * (H + 2) * (W + 2) * CI)
    dy += r * (B * (H + 2) * (W + 2) * CO)
    sums = tl.zeros((BK, CO), tl.float32)
    bias = tl.zeros((CO,), tl.float32)
    for tile in range(TILES):
        m = (split * TILES + tile) * BM + tl.arange(0, BM)
        n, h, w = pixel(m, H, W, False)
        # a pixel beyond the last one reads the border of dy, which is zero
        place = tl.where(m < M, padded(n, h, w, H, W), W + 3)
        gradient = tl.load(dy + tl.where(m < M, place, 0)[:, None] * CO + o[None, :])
        a = tl.load(x + place[:, None] * CI + offset[None, :])
        sums = tl.dot(tl.trans(a), gradient, sums, input_precision="ieee")
        if tl.program_id(1) == 0:
            bias += tl.sum(gradient.to(tl.float32), 0)
    parts += (r * SPLITS + split) * ((9 * CI + 1) * CO)
    tl.store(parts + k[:, None] * CO + o[None, :], sums, mask=inside[:, None])
    if tl.program_id(1) == 0:
        tl.store(parts + 9 * CI * CO + o, bias)


@triton.jit
def add_parts(parts, gradient, row_length, SIZE: tl.constexpr, SPLITS: tl.constexpr, BLOCK: tl.constexpr):
    """Compute gradient[r, i] = Σ_s parts[r, s, i], always in the order of s."""
    r = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < SIZE
    total = tl.zeros((BLOCK,), tl.float32)
    for split in range(SPLITS):
        total += tl.load(parts + (r * SPLITS + split) * SIZE + i, mask=inside, other=0.0)
    tl.store(gradient + r * row_length + i, total, mask=inside)
