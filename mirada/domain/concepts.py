"""What a picture is about, as a profile over a fixed vocabulary: the geometry feedback works in."""

from __future__ import annotations

import numpy as np

from mirada.domain.embeddings import Matrix, l2_normalise
from mirada.domain.errors import InvalidInput
from mirada.domain.similarity import Floats

_CONCEPTS = (
    "emotion, joy, laughter, affection, romance, a kiss, a hug, sadness, crying, "
    "disappointment, anger, rage, surprise, shock, embarrassment, worry, boredom, doubt, "
    "thinking, silence, secret, greed, pride, craziness, calm, tiredness, sleep, dream, "
    "illness, medicine, injury, cold, heat, death, monster, alien, robot, ghost, magic, evil, "
    "a face, an eye, a mouth, a hand, a finger, a gesture, an arm, a leg, a bone, an organ, "
    "hair, a baby, a child, a woman, a man, an old person, a couple, a family, a crowd, a job, "
    "a doctor, a police officer, a king, a superhero, a dancer, an athlete, yoga, walking, "
    "running, an animal, a pet, a dog, a cat, a wild animal, a farm animal, a cow, a horse, "
    "a pig, a sheep, a rodent, a bear, a monkey, a big cat, an elephant, a reptile, "
    "a dinosaur, an amphibian, a bird, poultry, a fish, a whale, a shellfish, an insect, "
    "a spider, a footprint, a zoo, a feather, a plant, a flower, a tree, a leaf, grass, "
    "a mushroom, a garden, a forest, fruit, a berry, citrus, a vegetable, a root, a spice, "
    "nuts, bread, cheese, meat, a sausage, fast food, a sandwich, noodles, rice, soup, salad, "
    "seafood, sushi, Asian food, breakfast, an egg, dessert, cake, ice cream, candy, "
    "chocolate, a drink, coffee, tea, juice, beer, wine, a cocktail, water, milk, a bottle, "
    "a cup, a glass, a plate, cutlery, a kitchen, a place, a map, a mountain, a volcano, "
    "a beach, an island, a desert, a river, the sea, the earth, a city, a building, a house, "
    "a shop, a hotel, a school, a hospital, a factory, a castle, a tower, a temple, "
    "a monument, a bridge, a park, a tent, a vehicle, a car, a bus, a truck, a train, a tram, "
    "a bicycle, a motorcycle, a plane, a helicopter, a rocket, a ship, a boat, traffic, "
    "a road, travel, luggage, flying, wheels, time, a clock, the sky, the sun, the moon, "
    "a star, space, weather, rain, snow, wind, a cloud, a storm, fire, a rainbow, a holiday, "
    "Christmas, Halloween, a party, a birthday, a wedding, a gift, fireworks, a balloon, "
    "decoration, an award, a medal, a sport, a ball, a racket, winter sport, water sport, "
    "a game, a toy, cards, luck, art, a painting, theatre, music, a song, a guitar, a drum, "
    "a film, a camera, clothes, a shirt, a dress, shoes, a hat, a bag, glasses, make-up, "
    "jewellery, a telephone, a computer, a screen, sound, light, a lamp, a book, writing, "
    "a letter, mail, money, business, a chart, an office, paper, a folder, a lock, a key, "
    "a tool, a weapon, a machine, science, a chemical, furniture, a bathroom, cleaning, "
    "a container, a flag, a sign, a warning, an arrow, a number, a letter of the alphabet, "
    "a symbol, religion, a zodiac sign, a geometric shape, red, yellow, green, blue, pink, "
    "black, white"
)
CONCEPTS: tuple[str, ...] = tuple(_CONCEPTS.split(", "))
"""A little of everything people send pictures of, from the general to the particular. Each is encoded
as it stands, once per space."""
PROFILE_SHARE = 2 / 3
"""How much of a theme vector is profile, the rest being the picture itself. From a half to all of it
the demo's themes are learned equally well; the rest keeps what no word names: a style, one cat."""


def theme_vectors(pictures: Matrix, concepts: Matrix, scale: float) -> Matrix:
    """Return the unit rows in which two pictures are near when they are about the same things.

    An encoder that tells 300 stickers apart holds "bus" and "tram" as far from each other as from
    "peach"; that they are both vehicles is in its text tower. So a picture is also described: p is
    the softmax of its logits over the concepts, its profile is the p-weighted mean of the concepts'
    vectors less their plain mean, and the row is the picture and its profile side by side, so that
    the dot product of two rows is PROFILE_SHARE x cos(profiles) + (1 - PROFILE_SHARE) x
    cos(pictures). docs/decisions/0007 has what was measured with and without.

    Args:
        pictures: (n, d) float32, unit rows.
        concepts: (w, d) float32, unit rows: CONCEPTS in the pictures' space, w >= 2.
        scale: the model's own logit scale, > 0.

    Returns:
        (n, 2 d) float32, unit rows. Rows of two vocabularies must not meet.

    Raises:
        InvalidInput: another dimension, or fewer than two concepts.
    """
    if concepts.ndim != 2 or len(concepts) < 2 or pictures.shape[1:] != concepts.shape[1:]:
        raise InvalidInput("Theme vectors need concepts in the pictures' space, at least two.")
    if not len(pictures):
        return np.empty((0, 2 * pictures.shape[1]), dtype=np.float32)
    words = concepts.astype(np.float64)
    about = _softmax_rows(scale * (pictures.astype(np.float64) @ words.T)) @ words
    profiles = about - words.mean(axis=0)
    # A picture equally near to every concept is about nothing: its profile has no direction.
    lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
    profiles = np.divide(profiles, lengths, out=np.zeros_like(profiles), where=lengths > 1e-9)
    return l2_normalise(
        np.hstack([pictures * np.sqrt(1 - PROFILE_SHARE), profiles * np.sqrt(PROFILE_SHARE)])
    )


def _softmax_rows(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
