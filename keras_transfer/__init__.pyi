"""The public names of the package, and the modules that define them; the only list of them."""

from ._version import __version__ as __version__
from .adaptation.batch_norm_statistics import adapt_batch_norm as adapt_batch_norm
from .adaptation.discrepancies.blockwise import blockwise_mmd as blockwise_mmd
from .adaptation.discrepancies.coral import DeepCoral as DeepCoral
from .adaptation.discrepancies.maximum_mean_discrepancy import (
    MaximumMeanDiscrepancy as MaximumMeanDiscrepancy,
)
from .adaptation.discrepancies.random_fourier_mmd import RandomFourierMMD as RandomFourierMMD
from .adaptation.domain_adaptation import DomainAdaptation as DomainAdaptation
from .adaptation.label_shift import label_shift_weights as label_shift_weights
from .adaptation.methods.batch_nuclear_norm import BatchNuclearNorm as BatchNuclearNorm
from .adaptation.methods.conditional_adversarial import (
    ConditionalAdversarial as ConditionalAdversarial,
)
from .adaptation.methods.contrastive_semantic_alignment import (
    ContrastiveSemanticAlignment as ContrastiveSemanticAlignment,
)
from .adaptation.methods.domain_adversarial import DomainAdversarial as DomainAdversarial
from .adaptation.methods.information_maximization import (
    InformationMaximization as InformationMaximization,
)
from .adaptation.methods.joint_mmd import JointMMD as JointMMD
from .adaptation.methods.local_mmd import LocalMMD as LocalMMD
from .adaptation.methods.method import DomainBatch as DomainBatch
from .adaptation.methods.method import Method as Method
from .adaptation.methods.minimax_entropy import MinimaxEntropy as MinimaxEntropy
from .adaptation.methods.minimum_class_confusion import (
    MinimumClassConfusion as MinimumClassConfusion,
)
from .adaptation.methods.reconstruction import Reconstruction as Reconstruction
from .adaptation.methods.self_training import SelfTraining as SelfTraining
from .adaptation.methods.stochastic_neighborhood_embedding import (
    StochasticNeighborhoodEmbedding as StochasticNeighborhoodEmbedding,
)
from .adaptation.selection.clusters import class_ami_score as class_ami_score
from .adaptation.selection.collapse_guard import CollapseGuard as CollapseGuard
from .adaptation.selection.confidence import bnm_score as bnm_score
from .adaptation.selection.confidence import entropy_score as entropy_score
from .adaptation.selection.confidence import (
    information_maximization_score as information_maximization_score,
)
from .adaptation.selection.discrepancy import discrepancy_score as discrepancy_score
from .adaptation.selection.ensemble import ensemble_scores as ensemble_scores
from .adaptation.selection.mixing_consistency import mixval_score as mixval_score
from .adaptation.selection.neighbors import snd_score as snd_score
from .adaptation.selection.rank_average import rank_average as rank_average
from .adaptation.selection.target_score import TargetScore as TargetScore
from .adaptation.selection.weighted_risk import dev_score as dev_score
from .backbones.byte_pair import BytePair as BytePair
from .backbones.hub_layer import HubLayer as HubLayer
from .backbones.info import BackboneInfo as BackboneInfo
from .backbones.registry import list_backbones as list_backbones
from .backbones.registry import load_backbone as load_backbone
from .backbones.text_handles import load_preprocessor as load_preprocessor
from .backbones.text_preprocessor import TextPreprocessor as TextPreprocessor
from .backbones.word_piece import WordPiece as WordPiece
from .backbones.words import Words as Words
from .caching.feature_cache import FeatureCache as FeatureCache
from .data.arrays import arrays as arrays
from .data.augmentation import augmentation as augmentation
from .data.balanced import balanced as balanced
from .data.domains import pair_domains as pair_domains
from .data.emoji_styles import emoji_styles as emoji_styles
from .data.emoji_styles import emoji_styles_folder as emoji_styles_folder
from .data.images import image_folder as image_folder
from .data.joint import joint_data as joint_data
from .data.multi_scale import multi_scale as multi_scale
from .data.readable import UnreadablePicturesError as UnreadablePicturesError
from .data.review_domains import review_domains as review_domains
from .data.splits import Splits as Splits
from .data.text_folders import text_folder as text_folder
from .data.text_tables import text_table as text_table
from .data.tfds import tfds as tfds
from .data.unlabeled_images import unlabeled_image_folder as unlabeled_image_folder
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.reports import ClassificationReport as ClassificationReport
from .evaluation.reports import RegressionReport as RegressionReport
from .models.blocks import Block as Block
from .models.blocks import split_into_blocks as split_into_blocks
from .models.classifier import Classifier as Classifier
from .models.classifier import Regressor as Regressor
from .models.fusion import layer_attention as layer_attention
from .models.joint import JointModel as JointModel
from .models.replacement import replace_layers as replace_layers
from .models.split_frozen import split_frozen as split_frozen
from .search.best.best_models import BestModel as BestModel
from .search.best.best_models import export_best_models as export_best_models
from .search.best.retraining import retrain as retrain
from .search.budget import SearchBudget as SearchBudget
from .search.pruning import MedianPruner as MedianPruner
from .search.pruning import Patience as Patience
from .search.pruning import Pruner as Pruner
from .search.pruning import SuccessiveHalving as SuccessiveHalving
from .search.record.report.page import search_report as search_report
from .search.space.hyper_model import TransferHyperModel as TransferHyperModel
from .search.transfer_tuner import TransferTuner as TransferTuner
from .search.workers.processes import run_workers as run_workers
from .serving.client.errors import ServingError as ServingError
from .serving.client.serving_client import ServingClient as ServingClient
from .serving.export import export as export
from .serving.verification.problems import VerificationError as VerificationError
from .serving.verification.verify import verify as verify
from .serving.versions.labels import labels_of as labels_of
from .serving.versions.labels import roll_back as roll_back
from .serving.versions.labels import set_label as set_label
from .strategies.cyclical import CyclicalLearningRate as CyclicalLearningRate
from .strategies.freezing import FeatureExtraction as FeatureExtraction
from .strategies.freezing import FineTuning as FineTuning
from .strategies.gradual import GradualUnfreezing as GradualUnfreezing
from .strategies.interpolation import best_interpolation as best_interpolation
from .strategies.interpolation import interpolate_weights as interpolate_weights
from .strategies.layerwise_optimizer import LayerwiseOptimizer as LayerwiseOptimizer
from .strategies.learning_rates import layerwise as layerwise
from .strategies.proximal import Proximal as Proximal
from .strategies.regularizers import L2 as L2
from .strategies.regularizers import L2SP as L2SP
from .strategies.schedules import OneCycle as OneCycle
from .strategies.schedules import warmup_cosine as warmup_cosine
from .strategies.sequence import Sequence as Sequence
from .strategies.strategy import Part as Part
from .strategies.strategy import Strategy as Strategy
from .strategies.weight_kinds import BiasTuning as BiasTuning
from .strategies.weight_kinds import NormalizationTuning as NormalizationTuning
from .training.adversarial import AdversarialTraining as AdversarialTraining
from .training.compute_strategy import ComputeStrategy as ComputeStrategy
from .training.compute_strategy import compute_strategy as compute_strategy
from .training.distillation import Distillation as Distillation
from .training.fine_tune import fine_tune as fine_tune
from .training.learning_rate_curve import LearningRateCurve as LearningRateCurve
from .training.learning_rate_finder import find_learning_rate as find_learning_rate
from .training.losses import GeneralizedCrossEntropy as GeneralizedCrossEntropy
from .training.losses import SparseLabels as SparseLabels
from .training.pipeline_profile import PipelineProfile as PipelineProfile
from .training.pipeline_profile import profile_pipeline as profile_pipeline
from .training.recipe import Recipe as Recipe
from .training.recipe import default_recipe as default_recipe
