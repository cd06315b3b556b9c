"""Solana Pay transaction requests, piece by piece: what is asked, what is true, what is signed."""
