"""What each word of `pod admin` would do, as proposals. Pure: an overview in, a proposal out.

Whoever may not do it, or may not yet, hears so here, in words and before anything is signed; the
program is still the one that decides.
"""
