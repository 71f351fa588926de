"""Published maps of the classes that asymmetric noise flips, by the name of their data set."""

from collections.abc import Mapping
from types import MappingProxyType

_CIFAR100_SUPERCLASSES = """
beaver dolphin otter seal whale
aquarium_fish flatfish ray shark trout
orchid poppy rose sunflower tulip
bottle bowl can cup plate
apple mushroom orange pear sweet_pepper
clock keyboard lamp telephone television
bed chair couch table wardrobe
bee beetle butterfly caterpillar cockroach
bear leopard lion tiger wolf
bridge castle house road skyscraper
cloud forest mountain plain sea
camel cattle chimpanzee elephant kangaroo
fox porcupine possum raccoon skunk
crab lobster snail spider worm
baby boy girl man woman
crocodile dinosaur lizard snake turtle
hamster mouse rabbit shrew squirrel
maple_tree oak_tree palm_tree pine_tree willow_tree
bicycle bus motorcycle pickup_truck train
lawn_mower rocket streetcar tank tractor
"""


def _next_in_group(groups: str) -> dict[str, str]:
    """Return the map of each class to the next one of its line; the last class goes to the first."""
    flips: dict[str, str] = {}
    for line in groups.split("\n"):
        names = line.split()
        flips.update(zip(names, [*names[1:], *names[:1]], strict=True))
    return flips


CLASS_MAPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "mnist": {"2": "7", "3": "8", "5": "6", "6": "5", "7": "1"},
        "fashion-mnist": {
            "ankle boot": "sneaker",
            "sneaker": "sandal",
            "pullover": "shirt",
            "coat": "dress",
            "dress": "coat",
        },
        "cifar10": {
            "truck": "automobile",
            "bird": "airplane",
            "deer": "horse",
            "cat": "dog",
            "dog": "cat",
        },
        "cifar100": _next_in_group(_CIFAR100_SUPERCLASSES),
    }
)
"""The class that each flipped class becomes; classes that are not named keep their labels.

MNIST and CIFAR-10 (five of ten classes) and CIFAR-100 (each class becomes the next of its superclass, in the
order of their numbers) are those of Patrini et al. 2017, *Making Deep Neural Networks Robust to Label Noise*,
section 5; Fashion-MNIST is that of Zhang and Sabuncu 2018, *Generalized Cross Entropy Loss*, section 4.
"""
