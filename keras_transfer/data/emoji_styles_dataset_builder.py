"""The bundled emoji pictures as a tensorflow_datasets builder; importing it registers it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets

from keras_transfer.data.emoji_styles import STYLES, emoji_styles_folder


class EmojiStyles(tensorflow_datasets.core.GeneratorBasedBuilder):
    """Emoji in 8 classes, one configuration for each drawing style; read from the package."""

    VERSION = tensorflow_datasets.core.Version("1.0.0")
    BUILDER_CONFIGS = [tensorflow_datasets.core.BuilderConfig(name=style) for style in STYLES]

    def _info(self) -> tensorflow_datasets.core.DatasetInfo:
        folder = emoji_styles_folder(self.builder_config.name) / "train"
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tensorflow_datasets.features.FeaturesDict(
                {
                    "image": tensorflow_datasets.features.Image(
                        shape=(64, 64, 3), encoding_format="png"
                    ),
                    "label": tensorflow_datasets.features.ClassLabel(
                        names=sorted(child.name for child in folder.iterdir())
                    ),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        folder = emoji_styles_folder(self.builder_config.name) / split
        for file in sorted(folder.glob("*/*.png")):
            yield file.stem, {"image": file, "label": file.parent.name}
