"""Detection metrics, resampling and statistics."""

from sgenet.runtime import packages

packages.require(__name__, "numpy", "pycocotools")
