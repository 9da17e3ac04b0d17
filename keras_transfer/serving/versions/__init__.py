"""The folders of versions that TF Serving watches."""
