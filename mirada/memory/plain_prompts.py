"""Prompts without a style, the reference point of the style vectors. No algorithm."""

from __future__ import annotations

_SUBJECTS = {
    "en": (
        "a cat, a puppy, a horse, an eagle, a shark, a butterfly, a rabbit, a tiger, a frog, "
        "a crow, a dragon, a robot, a soldier, a princess, a doctor, a farmer, an old man, "
        "a young woman, a little boy, a family, a crowd, a singer, a runner, a monk, a king, "
        "a pizza, a cup of coffee, a birthday cake, an apple, a loaf of bread, a rose, "
        "a pine tree, a forest, a mountain, a river, the moon, a storm, a castle, a skyscraper, "
        "a cottage, a temple, a bridge, a city street, a car, a ship, a train, an aeroplane, "
        "a spaceship, a motorbike, a clock, a guitar, a camera, a pair of shoes, a chair, "
        "a book, a mask, a sword, a candle, a football match, a wedding"
    ),
    "pt": (
        "um gato, um filhote de cachorro, um cavalo, uma águia, um tubarão, uma borboleta, "
        "um coelho, um tigre, um sapo, um urubu, um dragão, um robô, um soldado, uma princesa, "
        "uma médica, um agricultor, um homem velho, uma moça, um menino, uma família, "
        "uma multidão, uma cantora, um corredor, um monge, um rei, uma pizza, "
        "uma xícara de café, um bolo de aniversário, uma maçã, um pão, uma rosa, um pinheiro, "
        "uma floresta, uma montanha, um rio, a lua, uma tempestade, um castelo, um arranha-céu, "
        "uma casinha, um templo, uma ponte, uma rua da cidade, um carro, um navio, um trem, "
        "um avião, uma nave espacial, uma moto, um relógio, um violão, uma câmera, "
        "um par de sapatos, uma cadeira, um livro, uma máscara, uma espada, uma vela, "
        "um jogo de futebol, um casamento"
    ),
    "es": (
        "un gato, un cachorro, un caballo, un águila, un tiburón, una mariposa, un conejo, "
        "un tigre, una rana, un buitre, un dragón, un robot, un soldado, una princesa, "
        "una médica, un agricultor, un anciano, una mujer joven, un niño, una familia, "
        "una multitud, una cantante, un corredor, un monje, un rey, una pizza, "
        "una taza de café, un pastel de cumpleaños, una manzana, una hogaza de pan, una rosa, "
        "un pino, un bosque, una montaña, un río, la luna, una tormenta, un castillo, "
        "un rascacielos, una casita, un templo, un puente, una calle de la ciudad, un coche, "
        "un barco, un tren, un avión, una nave espacial, una moto, un reloj, una guitarra, "
        "una cámara, un par de zapatos, una silla, un libro, una máscara, una espada, una vela, "
        "un partido de fútbol, una boda"
    ),
}
_SCENES = {
    "en": (
        "in the park; at night; on a table; in the snow; under a tree; at the beach; in a room; "
        "on the road; in the morning; with a friend; near the sea; in the city; on a hill; "
        "in the sky; at home; in summer; in the dark; by the window; in a crowd"
    ),
    "pt": (
        "no parque; à noite; em cima da mesa; na neve; debaixo de uma árvore; na praia; "
        "num quarto; na estrada; de manhã; com um amigo; perto do mar; na cidade; num morro; "
        "no céu; em casa; no verão; no escuro; perto da janela; no meio da multidão"
    ),
    "es": (
        "en el parque; de noche; sobre una mesa; en la nieve; bajo un árbol; en la playa; "
        "en una habitación; en la carretera; por la mañana; con un amigo; cerca del mar; "
        "en la ciudad; en una colina; en el cielo; en casa; en verano; a oscuras; "
        "junto a la ventana; entre la multitud"
    ),
}
_QUALITY = {
    "en": ("detailed, high quality", "bright", "sharp, beautiful colours"),
    "pt": ("detalhado, alta qualidade", "claro", "nítido, cores bonitas"),
    "es": ("detallado, alta calidad", "luminoso", "nítido, colores bonitos"),
}
SCENES_EACH = 2
"""Scenes that every subject is put into. 360 texts span what prompts are about well enough; the
second scene has a quality word or two behind it, as most prompts do."""


def _texts() -> tuple[str, ...]:
    texts = []
    for language, subjects in _SUBJECTS.items():
        scenes = _SCENES[language].split("; ")
        for place, subject in enumerate(subjects.split(", ")):
            for step in range(SCENES_EACH):
                # 7 and 11 have no factor in common with 19 scenes, so that every pair is another.
                scene = scenes[(7 * place + 11 * step) % len(scenes)]
                text = f"{subject} {scene}"
                if step:
                    text += f", {_QUALITY[language][place % len(_QUALITY[language])]}"
                texts.append(text)
    return tuple(texts)


PLAIN_PROMPTS: tuple[str, ...] = _texts()
"""Subjects and scenes in three languages, without a word about how they are to be shown."""
