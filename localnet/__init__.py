"""An embedded Solana and an embedded Postgres. Imports nothing of ours.

The chain: LiteSVM executes (`engine`), `cluster` gives it slots, commitment levels, blockhashes and
a journal, `rpc` and `pubsub` speak a node's protocols over it. `embedded` starts the whole thing
inside a running event loop; `python -m localnet` starts it as a process. `adversary` makes it as
hard to follow as real clusters and providers are.
"""
