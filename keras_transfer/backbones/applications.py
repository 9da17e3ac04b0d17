"""The networks of keras.applications, each with the preprocessing that its weights expect."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras
import numpy as np

from keras_transfer._keras_home import keras_home
from keras_transfer.backbones.info import BackboneInfo

SCHEME = "applications"


@dataclasses.dataclass(frozen=True)
class _Application:
    """A network: its constructor's name, what its weights expect, and figures for the listing."""

    name: str
    preprocessing: str
    input_size: int
    parameters: int
    feature_width: int
    weights_file: str

    @property
    def handle(self) -> str:
        return f"{SCHEME}://{self.name}"


# `preprocessing` is the mode of the family's own `preprocess_input`: "caffe" (BGR, mean
# subtracted), "tf" (-1 to 1), "torch" (0 to 1, standardized), or "inside" where the network
# itself starts with it. Parameters are those without the classification head.
_ORDERING = "weights_tf_dim_ordering_tf_kernels"
_APPLICATIONS = (
    _Application("ConvNeXtTiny", "inside", 224, 27_820_128, 768, "convnext_tiny_notop.h5"),
    _Application("ConvNeXtSmall", "inside", 224, 49_454_688, 768, "convnext_small_notop.h5"),
    _Application("ConvNeXtBase", "inside", 224, 87_566_464, 1024, "convnext_base_notop.h5"),
    _Application("ConvNeXtLarge", "inside", 224, 196_230_336, 1536, "convnext_large_notop.h5"),
    _Application("ConvNeXtXLarge", "inside", 224, 348_147_968, 2048, "convnext_xlarge_notop.h5"),
    _Application("DenseNet121", "torch", 224, 7_037_504, 1024, f"densenet121_{_ORDERING}_notop.h5"),
    _Application(
        "DenseNet169", "torch", 224, 12_642_880, 1664, f"densenet169_{_ORDERING}_notop.h5"
    ),
    _Application(
        "DenseNet201", "torch", 224, 18_321_984, 1920, f"densenet201_{_ORDERING}_notop.h5"
    ),
    _Application("EfficientNetB0", "inside", 224, 4_049_571, 1280, "efficientnetb0_notop.h5"),
    _Application("EfficientNetB1", "inside", 240, 6_575_239, 1280, "efficientnetb1_notop.h5"),
    _Application("EfficientNetB2", "inside", 260, 7_768_569, 1408, "efficientnetb2_notop.h5"),
    _Application("EfficientNetB3", "inside", 300, 10_783_535, 1536, "efficientnetb3_notop.h5"),
    _Application("EfficientNetB4", "inside", 380, 17_673_823, 1792, "efficientnetb4_notop.h5"),
    _Application("EfficientNetB5", "inside", 456, 28_513_527, 2048, "efficientnetb5_notop.h5"),
    _Application("EfficientNetB6", "inside", 528, 40_960_143, 2304, "efficientnetb6_notop.h5"),
    _Application("EfficientNetB7", "inside", 600, 64_097_687, 2560, "efficientnetb7_notop.h5"),
    _Application("EfficientNetV2B0", "inside", 224, 5_919_312, 1280, "efficientnetv2-b0_notop.h5"),
    _Application("EfficientNetV2B1", "inside", 240, 6_931_124, 1280, "efficientnetv2-b1_notop.h5"),
    _Application("EfficientNetV2B2", "inside", 260, 8_769_374, 1408, "efficientnetv2-b2_notop.h5"),
    _Application("EfficientNetV2B3", "inside", 300, 12_930_622, 1536, "efficientnetv2-b3_notop.h5"),
    _Application("EfficientNetV2S", "inside", 384, 20_331_360, 1280, "efficientnetv2-s_notop.h5"),
    _Application("EfficientNetV2M", "inside", 480, 53_150_388, 1280, "efficientnetv2-m_notop.h5"),
    _Application("EfficientNetV2L", "inside", 480, 117_746_848, 1280, "efficientnetv2-l_notop.h5"),
    _Application(
        "InceptionResNetV2",
        "tf",
        299,
        54_336_736,
        1536,
        f"inception_resnet_v2_{_ORDERING}_notop.h5",
    ),
    _Application("InceptionV3", "tf", 299, 21_802_784, 2048, f"inception_v3_{_ORDERING}_notop.h5"),
    _Application("MobileNet", "tf", 224, 3_228_864, 1024, "mobilenet_1_0_224_tf_no_top.h5"),
    _Application(
        "MobileNetV2", "tf", 224, 2_257_984, 1280, f"mobilenet_v2_{_ORDERING}_1.0_224_no_top.h5"
    ),
    _Application(
        "MobileNetV3Large",
        "inside",
        224,
        2_996_352,
        960,
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    ),
    _Application(
        "MobileNetV3Small",
        "inside",
        224,
        939_120,
        576,
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    ),
    _Application("NASNetLarge", "tf", 331, 84_916_818, 4032, "nasnet_large_no_top.h5"),
    _Application("NASNetMobile", "tf", 224, 4_269_716, 1056, "nasnet_mobile_no_top.h5"),
    _Application("ResNet50", "caffe", 224, 23_587_712, 2048, f"resnet50_{_ORDERING}_notop.h5"),
    _Application("ResNet101", "caffe", 224, 42_658_176, 2048, f"resnet101_{_ORDERING}_notop.h5"),
    _Application("ResNet152", "caffe", 224, 58_370_944, 2048, f"resnet152_{_ORDERING}_notop.h5"),
    _Application("ResNet50V2", "tf", 224, 23_564_800, 2048, f"resnet50v2_{_ORDERING}_notop.h5"),
    _Application("ResNet101V2", "tf", 224, 42_626_560, 2048, f"resnet101v2_{_ORDERING}_notop.h5"),
    _Application("ResNet152V2", "tf", 224, 58_331_648, 2048, f"resnet152v2_{_ORDERING}_notop.h5"),
    _Application("VGG16", "caffe", 224, 14_714_688, 512, f"vgg16_{_ORDERING}_notop.h5"),
    _Application("VGG19", "caffe", 224, 20_024_384, 512, f"vgg19_{_ORDERING}_notop.h5"),
    _Application("Xception", "tf", 299, 20_861_480, 2048, f"xception_{_ORDERING}_notop.h5"),
)

# ImageNet statistics that keras.applications uses; RGB, for pixels from 0 to 1.
_MEAN = (0.485, 0.456, 0.406)
_STDDEV = (0.229, 0.224, 0.225)
# The same of the Caffe models, for pixels from 0 to 255, in their order: BGR.
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def describe() -> list[BackboneInfo]:
    """The rows that `kx.list_backbones()` shows."""
    downloads = keras_home() / "models"
    return [
        BackboneInfo(
            a.handle,
            a.parameters,
            a.input_size,
            a.feature_width,
            (downloads / a.weights_file).is_file(),
        )
        for a in _APPLICATIONS
    ]


def load(name: str, input_shape: tuple[int | None, ...] | None, weights: Any) -> keras.Model:
    """Builds a network of keras.applications on pixels 0-255; see `kx.load_backbone`."""
    application = next(a for a in _APPLICATIONS if a.name == name)
    shape = tuple(input_shape or (application.input_size, application.input_size, 3))
    pixels = keras.Input(shape, name="pixels", dtype="float32")
    constructor = getattr(keras.applications, name)
    try:
        model = constructor(
            include_top=False,
            weights="imagenet" if weights == "pretrained" else None,
            input_tensor=_preprocess(pixels, application.preprocessing),
            input_shape=shape,
        )
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(_no_download(application)) from error
    if weights not in (None, "pretrained"):
        model.load_weights(os.fspath(weights))
    if name.startswith("EfficientNetB") and weights != "pretrained":
        _correct_variance(model)
    # Keras took the inputs as a list of one; rebuilt, the model takes a plain tensor.
    return keras.Model(pixels, model.output, name=model.name)


def _preprocess(pixels: keras.KerasTensor, mode: str) -> keras.KerasTensor:
    """Float32 under any dtype policy: half precision cannot hold resized pixels exactly."""
    if mode == "inside":
        return pixels
    scale: float | list[float]
    offset: float | list[float]
    if mode == "tf":
        scale, offset = 1 / 127.5, -1.0
    elif mode == "torch":
        scale = [1 / (255 * s) for s in _STDDEV]
        offset = [-m / s for m, s in zip(_MEAN, _STDDEV, strict=True)]
    else:
        pixels = keras.ops.flip(pixels, axis=-1)
        scale, offset = 1.0, [-m for m in _CAFFE_MEAN]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(pixels)


def _correct_variance(model: keras.Model) -> None:
    """Makes a weights file mean the same as `weights="imagenet"` does for EfficientNet 1.

    The published files hold the standard deviation where Keras expects the variance; Keras
    makes up for it with one more layer, but only for `weights="imagenet"`
    (https://github.com/tensorflow/tensorflow/issues/49930).
    """
    layer = next(x for x in model.layers if isinstance(x, keras.layers.Normalization))
    mean, variance, *count = layer.get_weights()
    if np.allclose(variance, _STDDEV, atol=1e-4):
        layer.set_weights([mean, variance**2, *count])
        layer.finalize_state()


def _no_download(application: _Application) -> str:
    return (
        f"The ImageNet weights of {application.name} are not on this machine and could not be "
        "downloaded. Either pass a local file: load_backbone"
        f"({application.handle!r}, weights='/path/to/{application.weights_file}'), or use the "
        "backbone whose weights ship with the package: load_backbone('efficientnet_lite0'). "
        f"Received: handle={application.handle!r}, weights='pretrained'."
    )
