"""Common words of three languages, and prompts without a style, which style vectors are measured by."""

from __future__ import annotations

from mirada.kernel.keywords import folded as fold
from mirada.memory.words import stem

_ENGLISH = (
    "people person man woman men women boy girl child children baby kid teenager adult family "
    "mother father parent brother sister son daughter grandmother grandfather grandma grandpa "
    "uncle aunt friend neighbour guest stranger couple lover husband wife king queen prince hero "
    "soldier worker driver cook chef waiter teacher student doctor nurse artist painter musician "
    "singer dancer actor writer player runner hunter farmer fisherman sailor pilot police judge "
    "head face hair eye ear nose mouth lip tooth tongue neck shoulder arm hand finger chest back "
    "stomach leg knee foot skin bone blood heart brain body smile tear "
    "house home room kitchen bedroom bathroom garden door window wall roof floor ceiling stair "
    "table chair bed sofa lamp mirror clock shelf box bag basket bottle glass cup plate bowl "
    "spoon knife fork pot key lock rope toy gift "
    "food bread cheese meat fish egg rice soup salad fruit apple orange lemon grape banana cherry "
    "strawberry tomato potato onion carrot cake pie sugar salt honey milk water wine beer coffee "
    "tea juice breakfast lunch dinner "
    "dog cat horse cow pig sheep goat chicken duck bird eagle owl wolf fox bear lion tiger "
    "elephant monkey rabbit mouse rat deer snake frog turtle shark whale dolphin insect bee ant "
    "spider butterfly animal pet kitten puppy "
    "tree leaf flower rose grass forest wood jungle field hill mountain rock stone sand desert "
    "beach sea ocean wave lake river waterfall island cave valley sky cloud rain snow ice wind "
    "storm fog mist sun moon star earth world fire smoke ash light dark darkness shadow "
    "day night morning evening noon midnight sunset sunrise dawn dusk spring summer autumn fall "
    "winter hour minute week month year past present future time moment season holiday christmas "
    "birthday wedding party festival dance game war peace dream death life love "
    "city town village street road path bridge square market shop store restaurant bar hotel "
    "church temple castle palace tower school library museum theatre station airport harbour port "
    "hospital prison factory office bank park zoo stadium farm barn mill lighthouse building "
    "car bus train tram truck bicycle bike motorcycle boat ship plane rocket balloon wheel engine "
    "clothes shirt dress skirt coat jacket hat cap shoe boot glove scarf belt ring crown mask "
    "umbrella glasses watch pocket button "
    "book page letter word paper pen card map picture photo image camera film movie music song "
    "guitar piano violin drum phone computer screen television radio machine robot "
    "red blue green yellow orange purple pink brown black white grey gold silver colour color "
    "big small large little tall short long wide narrow thick thin heavy light soft hard warm hot "
    "cold cool wet dry clean dirty old new young ancient modern fast slow strong weak rich poor "
    "happy sad angry scared lonely quiet loud beautiful ugly pretty cute strange funny serious "
    "simple empty full open closed broken round flat deep high low bright pale dusty golden "
    "sitting standing walking running jumping flying swimming sleeping eating drinking reading "
    "writing playing singing dancing working fighting holding carrying wearing looking waiting "
    "smiling crying laughing riding driving climbing falling cooking fishing made held found "
    "scene view side top bottom front corner edge middle centre inside outside part piece thing "
    "group line point shape form style look touch tone texture pattern effect "
)
_PORTUGUESE = (
    "gente pessoa pessoas homem mulher menino menina crianca criancas bebe jovem adulto familia "
    "mae pai irmao irma filho filha avo tio tia amigo amiga vizinho casal marido esposa rei rainha "
    "principe princesa heroi soldado trabalhador motorista cozinheiro professor professora aluno "
    "medico enfermeira artista pintor musico cantor dancarina ator escritor jogador cacador "
    "pescador marinheiro piloto policia "
    "cabeca rosto cabelo olho orelha nariz boca labio dente pescoco ombro braco mao dedo peito "
    "costas barriga perna joelho pe pele osso sangue coracao corpo sorriso lagrima "
    "casa quarto cozinha banheiro jardim porta janela parede telhado chao teto escada mesa cadeira "
    "cama sofa lampada espelho relogio prateleira caixa bolsa cesto garrafa vidro copo prato "
    "tigela colher faca garfo panela chave corda brinquedo presente "
    "comida pao queijo carne peixe ovo arroz feijao sopa salada fruta maca laranja limao uva "
    "banana morango tomate batata cebola cenoura bolo torta acucar sal mel leite agua vinho "
    "cerveja cafe cha suco jantar almoco "
    "cachorro cao gato gata cavalo vaca porco ovelha cabra galinha pato passaro aguia coruja lobo "
    "raposa urso leao tigre elefante macaco coelho rato veado cobra sapo tartaruga tubarao baleia "
    "golfinho inseto abelha formiga aranha borboleta animal bicho "
    "arvore folha flor rosa grama floresta mata campo colina morro montanha pedra areia deserto "
    "praia mar oceano onda lago rio cachoeira ilha caverna vale ceu nuvem chuva neve gelo vento "
    "tempestade neblina nevoa sol lua estrela terra mundo fogo fumaca luz escuro escuridao sombra "
    "dia noite manha tarde por nascer amanhecer anoitecer primavera verao outono inverno hora "
    "semana mes ano passado futuro tempo momento estacao feriado natal aniversario casamento festa "
    "danca jogo guerra paz sonho morte vida amor "
    "cidade vila aldeia rua estrada caminho trilha ponte praca feira mercado loja restaurante bar "
    "hotel igreja templo castelo palacio torre escola biblioteca museu teatro aeroporto porto "
    "hospital fabrica escritorio parque zoologico estadio fazenda celeiro moinho farol predio "
    "edificio carro onibus trem bonde caminhao bicicleta moto barco navio aviao foguete balao roda "
    "motor roupa camisa vestido saia casaco chapeu sapato bota luva cinto anel coroa mascara "
    "oculos bolso botao "
    "livro pagina carta palavra papel caneta mapa desenho quadro foto imagem camera filme cinema "
    "musica violao piano violino tambor telefone computador tela televisao radio maquina robo "
    "vermelho azul verde amarelo laranja roxo rosa marrom preto branco cinza dourado prateado cor "
    "cores grande pequeno alto baixo curto longo largo estreito grosso fino pesado leve macio "
    "duro quente frio molhado seco limpo sujo velho velha novo nova antigo antiga moderno rapido "
    "lento forte fraco rico pobre feliz triste bravo assustado sozinho quieto bonito feio estranho "
    "engracado serio simples vazio cheio aberto fechado quebrado redondo plano fundo claro palido "
    "sentado andando correndo pulando voando nadando dormindo comendo bebendo lendo escrevendo "
    "brincando cantando dancando trabalhando lutando segurando vestindo olhando esperando chorando "
    "rindo dirigindo subindo caindo cozinhando pescando feito "
    "cena vista lado topo frente canto borda meio centro dentro fora parte pedaco coisa grupo linha "
    "ponto forma jeito toque tom textura padrao efeito"
)
_SPANISH = (
    "gente persona personas hombre mujer nino nina ninos bebe joven adulto familia madre padre "
    "hermano hermana hijo hija abuelo abuela tio tia amigo amiga vecino pareja marido esposa rey "
    "reina principe princesa heroe soldado trabajador conductor cocinero maestro maestra profesor "
    "alumno medico enfermera artista pintor musico cantante bailarina actor escritor jugador "
    "cazador pescador marinero piloto policia "
    "cabeza cara pelo cabello ojo oreja nariz boca labio diente cuello hombro brazo mano dedo "
    "pecho espalda barriga pierna rodilla pie piel hueso sangre corazon cuerpo sonrisa lagrima "
    "casa habitacion cuarto cocina bano jardin puerta ventana pared techo tejado suelo escalera "
    "mesa silla cama sofa lampara espejo reloj estante caja bolsa cesta botella vaso taza plato "
    "cuenco cuchara cuchillo tenedor olla llave cuerda juguete regalo "
    "comida pan queso carne pescado huevo arroz sopa ensalada fruta manzana naranja limon uva "
    "platano fresa tomate patata papa cebolla zanahoria pastel tarta azucar sal miel leche agua "
    "vino cerveza cafe te zumo jugo cena almuerzo "
    "perro gato gata caballo vaca cerdo oveja cabra gallina pato pajaro aguila buho lobo zorro oso "
    "leon tigre elefante mono conejo raton ciervo serpiente rana tortuga tiburon ballena delfin "
    "insecto abeja hormiga arana mariposa animal bicho cachorro "
    "arbol hoja flor rosa hierba bosque selva campo colina monte montana piedra roca arena desierto "
    "playa mar oceano ola lago rio cascada isla cueva valle cielo nube lluvia nieve hielo viento "
    "tormenta niebla sol luna estrella tierra mundo fuego humo luz oscuro oscuridad sombra "
    "dia noche manana tarde atardecer amanecer primavera verano otono invierno hora semana mes ano "
    "pasado futuro tiempo momento estacion fiesta navidad cumpleanos boda baile juego guerra paz "
    "sueno muerte vida amor "
    "ciudad pueblo aldea calle carretera camino sendero puente plaza mercado tienda restaurante bar "
    "hotel iglesia templo castillo palacio torre escuela biblioteca museo teatro aeropuerto puerto "
    "hospital fabrica oficina parque zoologico estadio granja granero molino faro edificio "
    "coche carro autobus tren tranvia camion bicicleta moto barco avion cohete globo rueda motor "
    "ropa camisa vestido falda abrigo sombrero zapato bota guante cinturon anillo corona mascara "
    "paraguas gafas bolsillo boton "
    "libro pagina carta palabra papel pluma boligrafo mapa dibujo cuadro foto imagen camara "
    "pelicula cine musica cancion guitarra piano violin tambor telefono ordenador pantalla "
    "television radio maquina robot "
    "rojo azul verde amarillo naranja morado rosado marron negro blanco gris dorado plateado color "
    "colores grande pequeno alto bajo corto largo ancho estrecho grueso fino pesado ligero suave "
    "duro caliente frio mojado seco limpio sucio viejo vieja nuevo nueva antiguo antigua moderno "
    "rapido lento fuerte debil rico pobre feliz triste enojado asustado solo tranquilo hermoso feo "
    "extrano gracioso serio simple vacio lleno abierto cerrado roto redondo plano hondo claro "
    "palido sentado caminando corriendo saltando volando nadando durmiendo comiendo bebiendo "
    "leyendo escribiendo jugando cantando bailando trabajando luchando llevando mirando esperando "
    "llorando riendo conduciendo subiendo cayendo cocinando pescando hecho "
    "escena vista lado arriba frente rincon borde medio centro dentro fuera parte trozo cosa grupo "
    "linea punto forma modo toque tono textura patron efecto"
)
COMMON_WORDS: frozenset[str] = frozenset(
    fold(word) for language in (_ENGLISH, _PORTUGUESE, _SPANISH) for word in language.split()
)
"""Some thousand common words in three languages: people, things, places, times, qualities."""
COMMON_STEMS: frozenset[str] = frozenset(stem(word) for word in COMMON_WORDS)


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
