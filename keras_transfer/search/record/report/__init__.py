"""The report of a search: one HTML file, read from the search's state alone."""
