"""The agent's API: one service, two thin fronts.

`service` answers, knowing neither gRPC nor Connect; `views` and `convert` are its pure halves; `jobs` keeps what was
asked for. `methods` reads the contract's descriptor, so that `connect` and `native` serve every method of it in one
loop each. `http` is the router beside the Connect endpoints, `server` starts and stops it all.
"""
