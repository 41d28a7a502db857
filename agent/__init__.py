"""flux-agent: keeps a cluster equal to git, and git equal to what its people decide.

The house, high to low: `__main__`, `wiring` > `loop`, `api` > `sync` > adapters (`git`, `cluster`, `manifests`) >
`model`. Import-linter holds the walls; `docs/decisions.md` tells why they stand where they stand.
"""
