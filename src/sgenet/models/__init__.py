"""ResNets with attention: the classifier in `resnet`, the backbone for mmdet in `backbone`, their names in `names`."""
