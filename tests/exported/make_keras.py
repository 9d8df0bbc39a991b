"""Small Keras models as tf2onnx converts them, and as Keras's own export to ONNX does.

Made with tensorflow-cpu 2.21.0, keras 3.15.1, tf2onnx 1.17.0, onnx 1.23.2 and numpy 2.4.6:

    python tests/exported/make_keras.py

Names begin with keras_ and end in the operator set.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

HERE = Path(__file__).parent


def networks() -> dict[str, tuple[keras.Model, tuple[int, ...], tuple[int, ...]]]:
    """Name, network, shape of the input without the batch axis, operator sets."""

    def made(shape: tuple[int, ...], *parts: layers.Layer) -> keras.Model:
        return keras.Sequential([keras.Input(shape), *parts])

    dense = (
        layers.Dense(6, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(3, activation="softmax"),
    )
    image = (8, 8, 1)
    return {
        "dense": (made((5,), *dense), (5,), (9, 13, 17, 18)),
        "activations": (
            made(
                (5,),
                layers.Dense(6, activation="elu"),
                layers.Dense(6, activation=lambda v: keras.activations.gelu(v, approximate=True)),
                layers.Dense(6, activation="swish"),
                layers.Dense(6, activation="softplus"),
                layers.LeakyReLU(),
                layers.Dense(3, activation="sigmoid"),
            ),
            (5,),
            (13, 17),
        ),
        "conv": (
            made(
                image,
                layers.Conv2D(3, 3, padding="same", activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
                layers.DepthwiseConv2D(3, padding="same"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, activation="softmax"),
            ),
            image,
            (11, 17),
        ),
        "autoencoder": (
            made(
                image,
                layers.Conv2D(3, 3, padding="same", activation="relu"),
                layers.AveragePooling2D(2),
                layers.UpSampling2D(),
                layers.Conv2DTranspose(3, 3, padding="same", activation="relu"),
                layers.Conv2D(1, 1),
            ),
            image,
            (11, 17),
        ),
        "lstm": (made((4, 3), layers.LSTM(4), layers.Dense(3, activation="softmax")), (4, 3), (13, 17)),
        "gru": (made((4, 3), layers.GRU(4), layers.Dense(3)), (4, 3), (13, 17)),
        "bilstm": (
            made(
                (4, 3),
                layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
                layers.Flatten(),
                layers.Dense(3),
            ),
            (4, 3),
            (15,),
        ),
        "normalised": (
            made(
                (6,),
                layers.Dense(6),
                layers.LayerNormalization(),
                layers.UnitNormalization(),
                layers.Dense(3),
            ),
            (6,),
            (17,),
        ),
        "attention": (attention(), (4, 4), (17,)),
    }


def attention() -> keras.Model:
    """Multi-head attention with a residual connection."""
    x = keras.Input((4, 4))
    y = layers.MultiHeadAttention(2, 2)(x, x)
    y = layers.LayerNormalization()(x + y)
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))


def randomised(model: keras.Model, seed: int) -> keras.Model:
    """Statistics and offsets that are not the initial ones."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.name or "gamma" in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, size=weight.shape))
        elif "mean" in weight.name or "beta" in weight.name or "bias" in weight.name:
            weight.assign(rng.normal(0, 0.2, size=weight.shape))
    return model


def main() -> None:
    """Write all files; say what fails."""
    for seed, (name, (model, shape, opsets)) in enumerate(networks().items()):
        keras.utils.set_random_seed(seed)
        randomised(model, seed)
        signature = (tf.TensorSpec((1, *shape), tf.float32, name="x"),)
        called = tf.function(lambda x, model=model: model(x, training=False), input_signature=signature)
        for opset in opsets:
            try:
                found, _ = tf2onnx.convert.from_function(called, input_signature=signature, opset=opset)
                onnx.save(found, HERE / f"keras_{name}_{opset}.onnx")
            except Exception as error:
                print(f"keras_{name}_{opset}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    dense, shape, _ = networks()["dense"]
    try:
        randomised(dense, 0)(np.zeros((1, *shape), dtype=np.float32))
        dense.export(str(HERE / "keras_export.onnx"), format="onnx", verbose=False)
    except Exception as error:
        print(f"keras_export: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


if __name__ == "__main__":
    main()
