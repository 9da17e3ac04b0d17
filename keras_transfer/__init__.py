"""Transfer learning for Keras 3 on TensorFlow, from a pretrained backbone to TF Serving.

Public names are imported on first use, so `import keras_transfer as kx` costs next to nothing;
`__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
