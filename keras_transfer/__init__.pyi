"""The public names of the package, and the modules that define them; the only list of them."""

from ._version import __version__ as __version__
from .backbones.info import BackboneInfo as BackboneInfo
from .backbones.registry import list_backbones as list_backbones
from .backbones.registry import load_backbone as load_backbone
from .data.arrays import arrays as arrays
from .data.augmentation import augmentation as augmentation
from .data.emoji_styles import emoji_styles as emoji_styles
from .data.emoji_styles import emoji_styles_folder as emoji_styles_folder
from .data.images import image_folder as image_folder
from .data.readable import UnreadablePicturesError as UnreadablePicturesError
from .data.splits import Splits as Splits
from .data.tfds import tfds as tfds
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.reports import ClassificationReport as ClassificationReport
from .evaluation.reports import RegressionReport as RegressionReport
from .models.blocks import Block as Block
from .models.blocks import split_into_blocks as split_into_blocks
from .models.classifier import Classifier as Classifier
from .models.classifier import Regressor as Regressor
from .serving.export import export as export
from .serving.verify import VerificationError as VerificationError
from .serving.verify import verify as verify
from .strategies.freezing import FeatureExtraction as FeatureExtraction
from .strategies.freezing import FineTuning as FineTuning
from .strategies.freezing import Strategy as Strategy
from .training.fine_tune import fine_tune as fine_tune
