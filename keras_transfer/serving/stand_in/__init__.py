"""TF Serving's REST and gRPC APIs for laptops and tests: a stand-in, never for production."""
