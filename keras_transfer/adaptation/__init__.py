"""From a labeled source domain to a target without labels."""
