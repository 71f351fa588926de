"""Keras 3 `fit`, on JAX or on torch."""

import os
import sys

os.environ["KERAS_BACKEND"] = sys.argv[2]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
from common import BATCH_SIZE, CHANNELS, DENSE, LR, N_CLASSES, WIDTHS, images, serve
from keras import layers

name = sys.argv[1]
images, labels = images()
x = (images.astype("float32") / 255 - 0.5)[..., None]
body = [layers.Input((28, 28, 1))]
if name in CHANNELS:
    for number, channels in enumerate(CHANNELS[name], start=1):
        body.append(layers.Conv2D(channels, 3, padding="same", activation="relu"))
        if number % 2 == 0:
            body.append(layers.MaxPooling2D())
    body += [layers.Flatten(), layers.Dense(DENSE, activation="relu")]
else:
    body.append(layers.Flatten())
    body += [layers.Dense(width, activation="relu") for width in WIDTHS[name]]
model = keras.Sequential([*body, layers.Dense(N_CLASSES)])
model.compile(
    optimizer=keras.optimizers.Adam(LR), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
)


def train(steps: int) -> None:
    epoch = len(x) // BATCH_SIZE * BATCH_SIZE
    epochs, rest = divmod(steps * BATCH_SIZE, epoch)
    for size in [epoch] * epochs + ([rest] if rest else []):
        model.fit(x[:size], labels[:size], batch_size=BATCH_SIZE, epochs=1, verbose=0, shuffle=True)


serve(train, version=f"keras {keras.__version__}")
