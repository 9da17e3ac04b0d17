"""What a search is over: backbones, strategies, heads, optimizers, methods of adaptation."""
