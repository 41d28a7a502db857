"""From a repository's bytes to the model: what Kubernetes would read in each file, and where it stands."""
