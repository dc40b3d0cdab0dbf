"""An autoencoder for anomaly detection: train it, quantise it, score with it, ship it.

Vectors in, scores out; what the features mean is the caller's affair. The public names:

    train, Autoencoder, to_float, to_int8       make a network and its .tflite file
    network_inputs, reconstruction_error        features to inputs, reconstruction to score
    mean_std, decluster, peaks_over_threshold   where calm ends
    save_model, load_model, Model, Card         a folder that holds a model, checked on loading
    open_scorer, Scorer                         a .tflite file on whichever runtime is installed
    ModelError                                  why a model must not be used
"""

from mqtt_ids_model.autoencoder import Autoencoder
from mqtt_ids_model.card import Card
from mqtt_ids_model.errors import ModelError
from mqtt_ids_model.folder import load_model, save_model
from mqtt_ids_model.model import Model
from mqtt_ids_model.score import MASKED, Scores, network_inputs, reconstruction_error
from mqtt_ids_model.scorer import Scorer, open_scorer
from mqtt_ids_model.tflite import to_float, to_int8
from mqtt_ids_model.threshold import decluster, mean_std, peaks_over_threshold
from mqtt_ids_model.training import train

__all__ = [
    "MASKED",
    "Autoencoder",
    "Card",
    "Model",
    "ModelError",
    "Scorer",
    "Scores",
    "decluster",
    "load_model",
    "mean_std",
    "network_inputs",
    "open_scorer",
    "peaks_over_threshold",
    "reconstruction_error",
    "save_model",
    "to_float",
    "to_int8",
    "train",
]
