"""Renders small colour photographs of ten kinds of shapes: a data set without a licence of others.

A picture shows one disc, ring, square, triangle, cross, star, crescent, hexagon, striped or chequered patch at a random place, of random
size, rotation, aspect and colour, before pink noise and a light that falls off to one side. Splinters and lines lie before and behind it;
blur, sensor noise and the 16 bits (5, 6, 5) of a cheap camera come last. Small, faint and hidden shapes are hard to tell apart: good
networks get about nine of ten right.

Run in this folder: python3 synthetic_images.py (needs numpy==2.4.6). Writes ../models/synthetic_images/synthetic_images.npz, pictures that
no network was trained on: x_calibration [256, 3, 32, 32], x_evaluation [1000, 3, 32, 32], bytes, and their classes y_calibration and
y_evaluation. Equal seeds give equal pictures.
"""

from pathlib import Path

import numpy as np

CLASSES = ("disc", "ring", "square", "triangle", "cross", "star", "crescent", "hexagon", "stripes", "checker")
SIZE = 32
CALIBRATION, EVALUATION = 256, 1000
# Pictures that are rendered at once, with one random number generator.
CHUNK = 500
# Which stream of random numbers a set gets.
SEEDS = {"training": 1, "calibration": 2, "evaluation": 3}
FILE = Path(__file__).resolve().parent.parent / "models" / "synthetic_images" / "synthetic_images.npz"


def distances(kinds, x, y):
    """How far points lie outside of shapes of about unit radius (negative inside), by their kinds; all but the first axis are points."""
    radius = np.hypot(x, y)
    result = np.empty_like(radius)

    def put(name, function):
        chosen = kinds == CLASSES.index(name)
        result[chosen] = function(x[chosen], y[chosen], radius[chosen])

    def box(x, y, width, height):
        return np.maximum(np.abs(x) - width, np.abs(y) - height)

    def sides(x, y, count, distance):
        """A regular polygon."""
        angles = 2 * np.pi * np.arange(count) / count
        return np.max([x * np.cos(angle) + y * np.sin(angle) for angle in angles], axis=0) - distance

    def star(x, y, radius):
        """Five spikes: the angle is folded onto half a spike, whose side is a line."""
        angle = np.abs((np.arctan2(y, x) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        tip, notch = np.array([1.1, 0.0]), 0.48 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
        normal = np.array([notch[1] - tip[1], tip[0] - notch[0]])
        normal /= np.hypot(*normal)
        return radius * (np.cos(angle) * normal[0] + np.sin(angle) * normal[1]) - tip @ normal

    put("disc", lambda x, y, radius: radius - 0.9)
    put("ring", lambda x, y, radius: np.abs(radius - 0.75) - 0.22)
    put("square", lambda x, y, radius: box(x, y, 0.8, 0.8))
    put("triangle", lambda x, y, radius: sides(x, y, 3, 0.55))
    put("cross", lambda x, y, radius: np.minimum(box(x, y, 0.95, 0.3), box(x, y, 0.3, 0.95)))
    put("star", star)
    put("crescent", lambda x, y, radius: np.maximum(radius - 1, 0.8 - np.hypot(x - 0.55, y)))
    put("hexagon", lambda x, y, radius: sides(x, y, 6, 0.85))
    put("stripes", lambda x, y, radius: np.maximum(box(x, y, 0.95, 0.95), radius - 1.1))
    put("checker", lambda x, y, radius: np.maximum(box(x, y, 0.95, 0.95), radius - 1.1))
    return result


def grid():
    """Coordinates of pixels, [1, SIZE, SIZE] each."""
    y, x = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5, indexing="ij")
    return x[None], y[None]


def per_picture(values):
    """[n] as [n, 1, 1]."""
    return np.asarray(values)[:, None, None]


def pink_noise(random, count):
    """Noise [count, 3, SIZE, SIZE] of unit variance whose spectrum falls off, more steeply in some pictures than in others."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    frequency[0, 0] = 1.0
    exponent = random.uniform(0.6, 1.8, (count, 1, 1, 1))
    white = random.standard_normal((count, 3, SIZE, SIZE))
    # Channels have much in common, as in photographs.
    white = 0.5 * white + white.mean(1, keepdims=True) * 1.5
    spectrum = np.fft.rfft2(white) * frequency ** -exponent
    spectrum[..., 0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return noise / noise.std((1, 2, 3), keepdims=True)


def place(random, count, radius, margin):
    """Local coordinates [count, SIZE, SIZE] of shapes at random places, with random rotation and aspect."""
    x, y = grid()
    centre = random.uniform(margin, SIZE - margin, (2, count))
    angle, aspect = per_picture(random.uniform(0, 2 * np.pi, count)), per_picture(np.exp(random.uniform(-0.22, 0.22, count)))
    x, y = (x - per_picture(centre[0])) / per_picture(radius), (y - per_picture(centre[1])) / per_picture(radius)
    return (x * np.cos(angle) + y * np.sin(angle)) * aspect, (y * np.cos(angle) - x * np.sin(angle)) / aspect


def coverage(distance, radius):
    """How much of each pixel lies inside."""
    return np.clip(0.5 - distance * per_picture(radius), 0, 1)


def paint(picture, mask, colour):
    """Lays a colour [n, 3] or [n, 3, SIZE, SIZE] over the picture."""
    if colour.ndim == 2:
        colour = colour[:, :, None, None]
    picture += mask[:, None] * (colour - picture)


def splinters(random, picture, rate):
    """Paints a small shape and a line over some pictures each."""
    count = len(picture)
    radius = random.uniform(1.2, 3.5, count)
    x, y = place(random, count, radius, 0)
    mask = coverage(distances(random.integers(0, 8, count), x, y), radius)
    paint(picture, mask * per_picture(random.random(count) < rate), random.uniform(20, 235, (count, 3)))
    width = random.uniform(0.5, 1.3, count)
    x, y = place(random, count, width, 0)
    mask = coverage(np.maximum(np.abs(y) - 1, np.abs(x) - per_picture(random.uniform(5, 25, count))), width)
    paint(picture, mask * per_picture(random.random(count) < rate), random.uniform(20, 235, (count, 3)))


def unit_vectors(random, count):
    vectors = random.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def render(random, kinds):
    """Pictures [n, 3, SIZE, SIZE] of the kinds, bytes."""
    count = len(kinds)
    ground = random.uniform(50, 205, (count, 3))
    picture = ground[:, :, None, None] + random.uniform(3, 20, (count, 1, 1, 1)) * pink_noise(random, count)
    for _ in range(2):
        splinters(random, picture, 0.35)

    # The shape differs from its ground by a step in colour of random length and direction, mostly light or dark.
    step = unit_vectors(random, count) + random.choice([-0.7, 0.7], (count, 1))
    step *= np.exp(random.uniform(np.log(80), np.log(190), (count, 1))) / np.linalg.norm(step, axis=1, keepdims=True)
    radius = random.uniform(7, 13.5, count)
    x, y = place(random, count, radius, 11)
    mask = coverage(distances(kinds, x, y), radius)
    period, phase = per_picture(random.uniform(4.5, 8, count)), per_picture(random.uniform(0, 2 * np.pi, count))
    wave_x, wave_y = np.sin(period * x + phase), np.sin(period * y)
    striped, chequered = (per_picture(kinds == CLASSES.index(name)) for name in ("stripes", "checker"))
    pattern = np.where(striped, np.clip(2 * wave_x, -1, 1), np.where(chequered, np.clip(3 * wave_x * wave_y, -1, 1), 1.0))
    fill = pattern[:, None] * step[:, :, None, None] + random.uniform(2, 16, (count, 1, 1, 1)) * pink_noise(random, count)
    paint(picture, mask, ground[:, :, None, None] + fill)
    splinters(random, picture, 0.35)

    x, y = grid()
    direction, strength = random.uniform(0, 2 * np.pi, count), per_picture(random.uniform(0, 0.45, count))
    light = 1 + strength * ((x / SIZE - 0.5) * per_picture(np.cos(direction)) + (y / SIZE - 0.5) * per_picture(np.sin(direction))) * 2
    picture *= light[:, None]
    side = random.uniform(0, 0.22, (count, 1, 1, 1))
    for axis in (2, 3):
        shifted = np.roll(picture, 1, axis) + np.roll(picture, -1, axis)
        picture = (1 - 2 * side) * picture + side * shifted
    picture += random.uniform(1, 7, (count, 1, 1, 1)) * random.standard_normal(picture.shape)
    return rgb565(np.clip(picture, 0, 255).round().astype(np.uint8))


def rgb565(picture):
    """Bytes as they come from 5, 6 and 5 bits."""
    for channel, bits in enumerate((5, 6, 5)):
        value = picture[:, channel] >> (8 - bits)
        picture[:, channel] = value << (8 - bits) | value >> (2 * bits - 8)
    return picture


def images(name, count):
    """Pictures of a set and their classes, bytes; a set's first pictures do not depend on how many are asked for."""
    pictures, classes = [], []
    for chunk in range(-(-count // CHUNK)):
        random = np.random.default_rng([2026, SEEDS[name], chunk])
        kinds = random.permutation(np.arange(CHUNK) % len(CLASSES))
        pictures.append(render(random, kinds))
        classes.append(kinds.astype(np.uint8))
    return np.concatenate(pictures)[:count], np.concatenate(classes)[:count]


def main():
    x_calibration, y_calibration = images("calibration", CALIBRATION)
    x_evaluation, y_evaluation = images("evaluation", EVALUATION)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        FILE, x_calibration=x_calibration, y_calibration=y_calibration, x_evaluation=x_evaluation, y_evaluation=y_evaluation
    )


if __name__ == "__main__":
    main()
