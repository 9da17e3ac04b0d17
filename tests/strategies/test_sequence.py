import pytest

import keras_transfer as kx


def test_parts_keep_their_settings_in_nested_sequences():
    inner = kx.Sequence([kx.Part(kx.FeatureExtraction(), epochs=2, learning_rate=0.5)])
    parts = kx.Sequence([inner, kx.FineTuning(1)]).parts()
    assert [(part.epochs, part.learning_rate) for part in parts] == [(2, 0.5), (None, None)]


def test_bad_parts_are_refused():
    with pytest.raises(ValueError, match="at least one strategy"):
        kx.Sequence([])
    with pytest.raises(TypeError, match="Received: 'fine_tuning'"):
        kx.Sequence(["fine_tuning"])
    with pytest.raises(ValueError, match="settings of its own"):
        kx.Sequence([kx.Part(kx.Sequence([kx.FineTuning()]), epochs=3)])


@pytest.mark.parametrize(
    ("setting", "value"), [("epochs", 0), ("learning_rate", -1.0), ("batch_size", 0)]
)
def test_settings_of_parts_have_to_be_above_0(setting, value):
    with pytest.raises(ValueError, match=f"`{setting}` above 0. Received: {setting}={value}"):
        kx.Part(kx.FineTuning(), **{setting: value})


def test_each_stage_needs_an_epoch():
    with pytest.raises(ValueError, match="epochs=2 for 3 stages"):
        kx.Part(kx.GradualUnfreezing(3), epochs=2)
