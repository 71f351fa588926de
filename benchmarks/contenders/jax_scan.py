"""A JAX `scan` over optimizer steps, data on the device: perceptron and MLP."""

import sys

import jax
import jax.numpy as jnp
from common import BATCH_SIZE, LR, N_CLASSES, SIDE, WIDTHS, N, images, serve

images, labels = images()
x = jnp.asarray(images.reshape(N, -1), jnp.float32) / 255 - 0.5
y = jnp.asarray(labels)
sizes = [SIDE * SIDE, *WIDTHS[sys.argv[1]], N_CLASSES]
keys = jax.random.split(jax.random.key(0), len(sizes))
weights = [
    (jax.random.normal(key, (a, b)) * a**-0.5, jnp.zeros(b))
    for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=False)
]
zeros = jax.tree.map(jnp.zeros_like, weights)


def loss(weights, x, y):
    for number, (w, b) in enumerate(weights):
        x = x @ w + b
        x = jax.nn.relu(x) if number < len(weights) - 1 else x
    return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean()


def step(state, key):
    weights, first, second, count = state
    rows = jax.random.randint(key, (BATCH_SIZE,), 0, N)
    gradient = jax.grad(loss)(weights, x[rows], y[rows])
    count += 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    lr = LR * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    weights = jax.tree.map(lambda w, m, v: w - lr * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
    return (weights, first, second, count), None


CHUNK = 50
scan = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[0])
state = (weights, zeros, zeros, jnp.asarray(0.0))


def train(steps: int) -> None:
    global state
    for number in range(steps // CHUNK):
        state = scan(state, jax.random.split(jax.random.key(number), CHUNK))
    jax.block_until_ready(state)


serve(train, multiple=CHUNK, version=f"jax {jax.__version__}")
