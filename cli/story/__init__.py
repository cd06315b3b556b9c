"""The demo: the whole round of the money, told with real HTTP and real transactions.

`story` tells it step by step; `people` are its actors' wallets; `api` speaks to the coordinator and
the provider, `chat` through the openai SDK, `books` reads what the ledger says; `report` is what it
proves. Every step waits for a condition and can be repeated, so processes may be killed meanwhile.
"""
