"""Theme vectors: profiles of pictures over a fixed vocabulary, the space in which verdicts count."""

from __future__ import annotations

import numpy as np

from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import DEFAULT_LABELS
from mirada.kernel.similarity import Floats

_WORDS = (
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
_GROUPS = (
    "smiling faces: happy, laughing, joyful",
    "faces full of love: kisses, hearts for eyes",
    "faces with the tongue out: silly, crazy, delicious",
    "faces with hands: hugging, thinking, whispering",
    "sceptical and neutral faces: bored, unimpressed, smirking",
    "sleepy faces: tired, yawning, drooling",
    "sick faces: a fever, nausea, sneezing",
    "faces with hats and glasses: cool, partying, disguised",
    "worried faces: sad, crying, afraid, disappointed",
    "angry faces: furious, swearing, evil",
    "costumes and monsters: a clown, an ogre, a ghost, an alien",
    "cat faces and monkey faces with human feelings",
    "hearts of all colours and love letters",
    "marks of emotion: sweat, anger, a collision, a speech bubble",
    "hand gestures: pointing, waving, a thumb up, a fist",
    "parts of the body: an ear, a nose, a foot, a muscle, an organ",
    "people of all ages: a baby, a child, an adult, the old",
    "people making gestures: raising a hand, shrugging, bowing",
    "people at work: a cook, a teacher, a police officer, a builder",
    "people from fantasy: a mermaid, an elf, a vampire, a superhero",
    "people doing things: walking, running, dancing, having a massage",
    "people playing sports: swimming, cycling, surfing, lifting weights",
    "people at rest: sleeping, bathing, meditating",
    "families and couples: parents with children, two people holding hands",
    "mammals: pets, farm animals, wild animals",
    "big cats, wolves and bears: wild beasts that hunt",
    "farm animals: a cow, a pig, a horse, a sheep, a goat",
    "rodents and other small furry animals",
    "birds: poultry, waterfowl, birds of prey, parrots",
    "reptiles and amphibians: a snake, a lizard, a frog, a dinosaur",
    "animals of the sea: fish, whales, shells, crabs",
    "insects, spiders and other bugs",
    "flowers: roses, tulips, a bouquet",
    "trees, leaves, herbs and other plants",
    "fruit: apples, berries, melons, citrus",
    "vegetables: carrots, potatoes, salad, peppers",
    "prepared food: bread, pizza, burgers, eggs, meat",
    "Asian food: rice, sushi, noodles, dumplings",
    "seafood: shrimp, crab, oysters, squid",
    "sweet food: cakes, ice cream, candy, chocolate",
    "drinks: coffee, tea, wine, beer, juice, milk",
    "dishes and cutlery: a plate, a fork, a knife, a spoon",
    "maps and globes: the world, a compass",
    "landscapes: mountains, beaches, islands, deserts",
    "buildings: a house, an office, a hotel, a factory, a shop",
    "religious buildings: a church, a mosque, a temple",
    "sights and places: a fountain, a tent, a bridge, a night sky over the city",
    "vehicles on land: cars, buses, trains, trams, bicycles",
    "vehicles on water: ships, boats, ferries, an anchor",
    "vehicles in the air: planes, helicopters, rockets, satellites, parachutes",
    "time: clocks, watches, an hourglass",
    "sky and weather: the sun, the moon, stars, clouds, rain, snow",
    "parties and festivals: balloons, fireworks, gifts, decorations",
    "awards and medals: a trophy, first place",
    "sports: balls, rackets, goals, nets",
    "games and toys: dice, cards, puzzles, dolls",
    "arts and crafts: a painting, theatre masks, thread and yarn",
    "clothes and accessories: shirts, shoes, hats, bags, jewels",
    "sound: a bell, a loudspeaker, a horn",
    "music: instruments, notes, a microphone",
    "phones and computers: a screen, a keyboard, a printer",
    "light, film and photography: a camera, a lamp, a candle",
    "books and paper: a newspaper, a notebook, a label",
    "money: coins, banknotes, a credit card, a chart",
    "mail: envelopes, parcels, a mailbox",
    "writing and office: pens, folders, clips, scissors, calendars",
    "locks and keys",
    "tools and weapons: a hammer, an axe, a saw, a sword, chains",
    "science and medicine: a microscope, a pill, a bandage",
    "household things: a door, a bed, a chair, a mirror, soap, a basket",
    "warnings and traffic signs",
    "arrows, numbers, letters and geometric shapes",
    "signs of religion and of the zodiac",
    "flags of countries",
)
CONCEPTS: tuple[str, ...] = (
    *_WORDS.split(", "),
    *_GROUPS,
    *(label.description for label in DEFAULT_LABELS if label.description),
)
"""A little of everything people send pictures of: words from the general to the particular, the
subgroups of Unicode's list of emoji in plain words, and what the built-in labels mean. Each is encoded
as it stands, once per space."""
PROFILE_SHARE = 2 / 3
"""How much of a theme vector is profile, the rest being the picture itself. From a half to all of it
the demo's themes are learned equally well; the rest keeps what no word names: a style, one cat."""
LEAST_SPREAD = 1e-6
"""Spread of cosines below which they are rounding, not differences."""
PROFILE_SHARPNESS = 1.5
"""Weight of a concept against one that is a standard deviation less near: e to this. The model's own
logit scale, made to tell single things apart, would leave two or three concepts of them all."""


def theme_vectors(pictures: Matrix, concepts: Matrix) -> Matrix:
    """Return the unit rows in which two pictures are near when they are about the same things.

    An encoder that tells 300 stickers apart holds "bus" and "tram" as far from each other as from
    "peach"; that they are both vehicles is in its text tower. So a picture is also described: its
    cosines with the concepts, in standard deviations from their mean, become weights by a softmax of
    PROFILE_SHARPNESS. Its profile is the so weighted mean of the concepts' vectors less their plain
    mean. The row is the picture and its profile side by side. The dot product of two rows is
    PROFILE_SHARE x cos(profiles) + (1 - PROFILE_SHARE) x cos(pictures). Levels and widths
    of cosines, which differ between models, cancel. docs/decisions/0007 has what was measured.

    Args:
        pictures: (n, d) float32, unit rows.
        concepts: (w, d) float32, unit rows: CONCEPTS in the pictures' space, w >= 2.

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
    near = pictures.astype(np.float64) @ words.T
    spread = np.maximum(near.std(axis=1, keepdims=True), LEAST_SPREAD)
    standing = (near - near.mean(axis=1, keepdims=True)) / spread
    profiles = _softmax_rows(PROFILE_SHARPNESS * standing) @ words - words.mean(axis=0)
    # A picture equally near to every concept is about nothing: its profile has no direction.
    lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
    profiles = np.divide(profiles, lengths, out=np.zeros_like(profiles), where=lengths > 1e-9)
    return l2_normalise(
        np.hstack([pictures * np.sqrt(1 - PROFILE_SHARE), profiles * np.sqrt(PROFILE_SHARE)])
    )


def _softmax_rows(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
