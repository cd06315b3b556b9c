"""The bottom of the house: the books, money in, money out, and the proof that they equal the chain.

Imports neither the indexer nor the coordinator; both import this.
"""
