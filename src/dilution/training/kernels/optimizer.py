"""The optimizer step of all parameters of all replicas as one kernel."""

import triton
import triton.language as tl

LAUNCH = {"enable_fp_fusion": True}
"""Options of every launch: a product and a sum become one instruction, whatever the default of a version."""


@triton.jit
def update(
    weights, gradient, first, second, average, low, lr, scalars,
    weight_decay, momentum, ema_decay, row_length,
    OPTIMIZER: tl.constexpr, MOMENTUM: tl.constexpr, AVERAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Update rows of parameters, their average, and their copy for products.

    The update is that of ``torch.optim`` with its default settings; rows are (R, row_length).

    `first` and `second` are the states of the optimizer, `lr` has one learning rate per replica,
    and `scalars` holds 1 at the first step, else 0, and Adam's corrections 1 − 0.9ᵗ and 1 − 0.999ᵗ
    at step t. With AVERAGE the average becomes ema_decay · average + (1 − ema_decay) · weights; at
    the first step it starts as the weights. `low` receives the weights in the type that products
    are computed in.

    - sgd: v ← momentum v + g; w ← w − lr (g + momentum v), with g = gradient + weight_decay w.
    - adam: m ← 0.9 m + 0.1 g, v ← 0.999 v + 0.001 g²; w ← w − lr m̂ / (√v̂ + 10⁻⁸), with
      bias-corrected m̂ and v̂ (Kingma and Ba 2015). adamw decays the weights by lr · weight_decay
      instead of adding to g.
    - adadelta: s ← 0.9 s + 0.1 g²; d = g √(u + 10⁻⁶)/√(s + 10⁻⁶); u ← 0.9 u + 0.1 d²; w ← w − lr d
      (Zeiler 2012).
    """
    r = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < row_length
    place = r * row_length + i
    w = tl.load(weights + place, mask=inside, other=0.0)
    g = tl.load(gradient + place, mask=inside, other=0.0)
    rate = tl.load(lr + r)
    begins = tl.load(scalars) > 0
    if OPTIMIZER == "adamw":
        w *= 1.0 - rate * weight_decay
    else:
        g += weight_decay * w
    if OPTIMIZER == "sgd":
        if MOMENTUM:
            v = tl.load(first + place, mask=inside, other=0.0)
            v = tl.where(begins, g, momentum * v + g)
            tl.store(first + place, v, mask=inside)
            g += momentum * v
        w -= rate * g
    elif OPTIMIZER == "adadelta":
        s = tl.load(first + place, mask=inside, other=0.0)
        u = tl.load(second + place, mask=inside, other=0.0)
        s = 0.9 * s + 0.1 * g * g
        d = tl.sqrt(u + 1e-6) / tl.sqrt(s + 1e-6) * g
        u = 0.9 * u + 0.1 * d * d
        tl.store(first + place, s, mask=inside)
        tl.store(second + place, u, mask=inside)
        w -= rate * d
    else:
        tl.static_assert(OPTIMIZER == "adam" or OPTIMIZER == "adamw", "unknown optimizer")
        m = tl.load(first + place, mask=inside, other=0.0)
        v = tl.load(second + place, mask=inside, other=0.0)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        tl.store(first + place, m, mask=inside)
        tl.store(second + place, v, mask=inside)
        correction_1, correction_2 = tl.load(scalars + 1), tl.load(scalars + 2)
        w -= rate / correction_1 * m / (tl.sqrt(v) / tl.sqrt(correction_2) + 1e-8)
    tl.store(weights + place, w, mask=inside)
    tl.store(low + place, w.to(low.dtype.element_ty), mask=inside)
    if AVERAGE:
        mean = tl.load(average + place, mask=inside, other=0.0)
        mean = tl.where(begins, w, mean + (1.0 - ema_decay) * (w - mean))
        tl.store(average + place, mean, mask=inside)
