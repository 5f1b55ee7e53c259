"""The pictures that go in, and what they look like where they come out."""

import numpy as np


def draw(height, width):
    """The pictures that all rows are made of."""
    global HEIGHT, WIDTH, RGB, SMOOTH, GREY, OPACITY
    HEIGHT, WIDTH = height, width
    RGB, SMOOTH = colours(), smooth()
    GREY = RGB[..., 1].copy()
    OPACITY = ramp(0, 255, np.uint8)


def colours():
    """Gradients, stripes and a disc of red."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = np.stack([x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x // 8 + y // 8) % 2 * 120 + 60], axis=-1)
    picture[(x - WIDTH // 3) ** 2 + (y - HEIGHT // 2) ** 2 < HEIGHT * 2] = (220, 20, 30)
    return picture.astype(np.uint8)


def smooth():
    """Colours without edges, for what loses them."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([60 + x * 2, 60 + y * 3, 200 - x - y], axis=-1).astype(np.uint8)


def ramp(low, high, kind):
    """Grey values from low to high, both of which are there."""
    values = np.linspace(low, high, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    return (values if np.dtype(kind).kind == "f" else values.round()).astype(kind)


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def scaled(values, low, high):
    """As the documentation has it: low is black, high is white."""
    levels = (values.astype(np.float64) - low) * 255 / (high - low)
    levels = np.floor(np.clip(levels, 0, 255) + 0.5).astype(np.uint8)
    return levels if levels.ndim == 3 else grey(levels)


def on(values, alpha, ground=255):
    alpha = np.asarray(alpha, np.int64)[..., None]
    return ((np.asarray(values, np.int64) * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)
