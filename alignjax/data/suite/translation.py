"""Words in French, German and Spanish.

Answers are separated by "/", the usual one first; without article.
"""

from collections.abc import Callable, Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other

# English, French, German, Spanish. Words that two of them spell alike are left
# out, since repeating the question would then be an answer.
_WORDS = tuple(
  line.split()
  for line in """
house maison Haus casa
dog chien Hund perro
cat chat Katze gato
bird oiseau Vogel pájaro/ave
fish poisson Fisch pez/pescado
horse cheval Pferd caballo
cow vache Kuh vaca
pig cochon/porc Schwein cerdo/puerco
sheep mouton Schaf oveja
tree arbre Baum árbol
flower fleur Blume flor
sun soleil Sonne sol
moon lune Mond luna
star étoile Stern estrella
water eau Wasser agua
fire feu Feuer fuego
bread pain Brot pan
milk lait Milch leche
cheese fromage Käse queso
egg œuf/oeuf Ei huevo
apple pomme Apfel manzana
wine vin Wein vino
salt sel Salz sal
sugar sucre Zucker azúcar
coffee café Kaffee café
tea thé Tee té
book livre Buch libro
chair chaise Stuhl silla
door porte Tür puerta
window fenêtre Fenster ventana
bed lit Bett cama
key clé/clef Schlüssel llave
street rue Straße calle
city ville Stadt ciudad
school école Schule escuela
church église Kirche iglesia
bridge pont Brücke puente
ship navire/bateau Schiff barco/buque/nave
airplane avion Flugzeug avión
mother mère Mutter madre
father père Vater padre
brother frère Bruder hermano
sister sœur/soeur Schwester hermana
son fils Sohn hijo
daughter fille Tochter hija
friend ami/amie Freund/Freundin amigo/amiga
woman femme Frau mujer
king roi König rey
queen reine Königin reina
head tête Kopf cabeza
eye œil/oeil Auge ojo
nose nez Nase nariz
mouth bouche Mund boca
tooth dent Zahn diente
heart cœur/coeur Herz corazón
foot pied Fuß pie
leg jambe Bein pierna
day jour Tag día
night nuit Nacht noche
week semaine Woche semana
month mois Monat mes
summer été Sommer verano
rain pluie Regen lluvia
snow neige Schnee nieve
river rivière/fleuve Fluss río
mountain montagne/mont Berg montaña/monte
forest forêt Wald bosque/selva
stone pierre Stein piedra
silver argent Silber plata
iron fer Eisen hierro
red rouge rot rojo/roja
blue bleu/bleue blau azul
green vert/verte grün verde
white blanc/blanche weiß blanco/blanca
black noir/noire schwarz negro/negra
yellow jaune gelb amarillo/amarilla
small petit/petite klein pequeño/pequeña/chico
new nouveau/neuf/nouvelle/neuve neu nuevo/nueva
old vieux/ancien/vieille alt viejo/antiguo/vieja
good bon/bonne gut bueno/buena
cold froid/froide kalt frío/fría
two deux zwei dos
three trois drei tres
five cinq fünf cinco
seven sept sieben siete
ten dix zehn diez
Monday lundi Montag lunes
Friday vendredi Freitag viernes
world monde Welt mundo
life vie Leben vida
war guerre Krieg guerra
peace paix Frieden paz
love amour Liebe amor
music musique Musik música
word mot Wort palabra
knife couteau Messer cuchillo
fork fourchette Gabel tenedor
spoon cuillère/cuiller Löffel cuchara
bottle bouteille Flasche botella
hat chapeau Hut sombrero
shirt chemise Hemd camisa
shoe chaussure/soulier Schuh zapato
kitchen cuisine Küche cocina
garden jardin Garten jardín
""".strip().splitlines()
)


def _into(column: int) -> Callable[[], Iterator[Instance]]:
  """Instances whose answers stand in a column of the table."""

  def instances() -> Iterator[Instance]:
    golds = [line[column].split("/") for line in _WORDS]
    for line, accepted in zip(_WORDS, golds, strict=True):
      firsts = (gold[0] for gold in golds)
      wrong = other(firsts, accepted, line[0], column)
      word = f"translation of {line[0]}"
      yield Instance(word, {"word": line[0]}, tuple(accepted), wrong)

  return instances


def _cluster(column: int, language: str) -> Cluster:
  templates = (
    f'Translate the word "{{word}}" into {language}.',
    f'What is the {language} word for "{{word}}"?',
    f"English: {{word}}\n{language}:",
    f'How do you say "{{word}}" in {language}?',
  )
  return Cluster(language.lower(), "contains", templates, _into(column))


CLUSTERS = (
  _cluster(1, "French"),
  _cluster(2, "German"),
  _cluster(3, "Spanish"),
)
