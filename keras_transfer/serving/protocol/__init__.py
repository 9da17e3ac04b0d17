"""What TF Serving answers to good and to malformed requests, asked of any server."""
