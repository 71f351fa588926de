"""Dense layers of R replicas, and the loss at their end, as Triton kernels with a replica axis."""

import triton
import triton.language as tl

from dilution.training.kernels.convolution import relu


@triton.jit
def product(
    a, b, bias, mask, out,
    a_replica, a_row, a_column, b_replica, b_row, b_column, bias_replica, out_replica, out_row,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
    BIAS: tl.constexpr, RELU: tl.constexpr, MASK: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Compute out[r, i, j] = Σ_k a[r, i, k] b[r, k, j], with any strides of a and b.

    BIAS adds bias[r, j]; RELU takes max(0, ·); MASK keeps the result where mask[r, i, j] > 0, else
    0, which is the gradient of a ReLU whose output is `mask` (laid out as `out`).
    """
    r = tl.program_id(1).to(tl.int64)
    columns = tl.cdiv(N, BN)
    i = tl.program_id(0) // columns * BM + tl.arange(0, BM)
    j = tl.program_id(0) % columns * BN + tl.arange(0, BN)
    a += r * a_replica + i[:, None] * a_row
    b += r * b_replica + j[None, :] * b_column
    sums = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        left = tl.load(a + k[None, :] * a_column, mask=(i < M)[:, None] & (k < K)[None, :], other=0.0)
        right = tl.load(b + k[:, None] * b_row, mask=(k < K)[:, None] & (j < N)[None, :], other=0.0)
        sums = tl.dot(left, right, sums, input_precision="ieee")
    inside = (i < M)[:, None] & (j < N)[None, :]
    place = r * out_replica + i[:, None] * out_row + j[None, :]
    if BIAS:
        sums += tl.load(bias + r * bias_replica + j, mask=j < N, other=0.0).to(tl.float32)[None, :]
    if RELU:
        sums = relu(sums)
    if MASK:
        sums = tl.where(tl.load(mask + place, mask=inside, other=0.0) > 0, sums, 0.0)
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=inside)


@triton.jit
def column_sums(a, out, out_replica, M: tl.constexpr, N: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Compute out[r, j] = Σ_i a[r, i, j], the gradient of a bias."""
    r = tl.program_id(1).to(tl.int64)
    j = tl.program_id(0) * BN + tl.arange(0, BN)
    total = tl.zeros((BN,), tl.float32)
    for start in range(0, M, BM):
        i = start + tl.arange(0, BM)
        inside = (i < M)[:, None] & (j < N)[None, :]
        part = tl.load(a + r * (M * N) + i[:, None] * N + j[None, :], mask=inside, other=0.0)
        total += tl.sum(part.to(tl.float32), 0)
    tl.store(out + r * out_replica + j, total, mask=j < N)


@triton.jit
def cross_entropy(
    logits, targets, losses, gradient,
    B: tl.constexpr, C: tl.constexpr, WEIGHTS: tl.constexpr, BB: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Compute the cross entropy of every replica and its gradient by the logits.

    losses[r] = −(1/B) Σ_i Σ_k w[r, i, k] log f_k(i), with f the softmax of the logits;
    gradient[r, i, k] = (f_k(i) Σ_j w[r, i, j] − w[r, i, k]) / B.

    With WEIGHTS `targets` holds w, shape (R, B, C); otherwise it holds labels, shape (R, B), and w is
    one at the label.
    """
    r = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, BC)
    total = tl.zeros((BB,), tl.float32)
    for start in range(0, B, BB):
        i = start + tl.arange(0, BB)
        inside = (i < B)[:, None] & (k < C)[None, :]
        place = (r * B + i)[:, None] * C + k[None, :]
        z = tl.load(logits + place, mask=inside, other=-1e30).to(tl.float32)
        if WEIGHTS:
            w = tl.load(targets + place, mask=inside, other=0.0).to(tl.float32)
        else:
            label = tl.load(targets + r * B + i, mask=i < B, other=-1)
            w = (label[:, None] == k[None, :]).to(tl.float32)
        z = tl.where((i < B)[:, None], z, 0.0)
        z -= tl.max(z, 1)[:, None]
        e = tl.exp(z)
        total_e = tl.sum(e, 1)
        log_f = z - tl.log(total_e)[:, None]
        weight = tl.sum(w, 1)
        total -= tl.sum(w * log_f, 1)
        slope = (e / total_e[:, None] * weight[:, None] - w) / B
        tl.store(gradient + place, slope.to(gradient.dtype.element_ty), mask=inside)
    tl.store(losses + r, tl.sum(total, 0) / B)
