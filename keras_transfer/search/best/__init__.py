"""The end of a search: its best models, trained again, tested and exported."""
