import pytest

import keras_transfer as kx


@pytest.mark.parametrize(
    ("handle", "nearest"),
    [
        ("resnet50", "applications://ResNet50"),
        ("efficientnet-lite0", "efficientnet_lite0"),
        ("applications://EfficentNetB0", "applications://EfficientNetB0"),
        ("aplications://VGG16", "applications://VGG16"),
    ],
)
def test_unknown_handle_names_the_nearest(handle, nearest):
    with pytest.raises(ValueError, match=f"nearest are .*{nearest}.*Received: handle='{handle}'"):
        kx.load_backbone(handle)


def test_handle_far_from_all_says_where_the_list_is():
    with pytest.raises(ValueError, match="list_backbones"):
        kx.load_backbone("qqqqqq")


def test_handle_case_does_not_matter():
    assert kx.load_backbone("EfficientNet_Lite0", input_shape=(32, 32, 3), weights=None)


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 1), (16, 64, 3), (32, 32, 3, 1)])
def test_input_shape_out_of_range_is_refused(shape):
    with pytest.raises(ValueError, match="Received: input_shape="):
        kx.load_backbone("efficientnet_lite0", input_shape=shape)


def test_missing_weights_file_is_refused():
    with pytest.raises(FileNotFoundError, match="nowhere.h5"):
        kx.load_backbone("efficientnet_lite0", weights="nowhere.h5")


def test_list_has_every_family_of_keras_applications():
    import keras

    listed = {info.handle for info in kx.list_backbones()}
    constructors = [name for name in dir(keras.applications) if name[0].isupper()]
    assert len(constructors) >= 38
    assert {f"applications://{name}" for name in constructors} <= listed
