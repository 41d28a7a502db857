"""The API server: dicts in, dicts out, over the raw REST layer of the kubernetes client."""
