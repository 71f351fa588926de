"""Noise models for a data set by their text; some follow the predictions of a model, trained first."""

from dilution.data import Arrays
from dilution.noise import MODEL_NOISES, NOISES, LabelNoise, canonical_noise, noise_named
from dilution.training.confusability import EPOCHS, MODEL, predicted_probabilities
from dilution.utils.named_call import parse_call


def noise_for_data(
    text: str,
    data: Arrays,
    *,
    model: str = MODEL,
    epochs: float = EPOCHS,
    seed: int = 0,
    device: str = "cpu",
    average_epochs: bool = False,
) -> LabelNoise:
    """Return the noise model of a text for a data set.

    Parameters
    ----------
    text
        ``"symmetric(rate=0.4)"``, ``"idn(rate=0.4)"``; see :func:`dilution.list_noises`.
    data
        Clean training data.
    model, epochs, seed, device, average_epochs
        Training of the models whose predictions the noise follows if it is ``"idn"``, ``"pmd"`` or
        ``"locally_concentrated_features"``; see :func:`predicted_probabilities`.

    Raises
    ------
    InputError
        If there is no such noise model, a parameter breaks its rule, or the data are too few for a model.
    """
    name, parameters = parse_call(canonical_noise(text), "noise")
    if name not in MODEL_NOISES:
        return noise_named(text)
    probabilities = predicted_probabilities(
        data, model=model, epochs=epochs, seed=seed, device=device, average_epochs=average_epochs
    )
    return NOISES[name](probabilities=probabilities, **parameters)
