"""Collections of garbage while a search runs."""

import gc

from keras_transfer.search.garbage import quick_collections


def test_what_was_there_is_left_alone_within():
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    try:
        with quick_collections():
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() == 0
    finally:
        if frozen:
            gc.freeze()


def test_what_a_program_has_frozen_itself_stays_frozen():
    gc.freeze()
    with quick_collections():
        pass
    assert gc.get_freeze_count() > 0
