"""What it takes to install flux-agent, as manifests: `kubectl flux install`, and the folder `deploy/`.

`options` says what may be asked for, `render` makes the files of it from `templates/`. Neither knows the cluster, the
command line or where the text goes.
"""
