"""`pod bond`: what operators do with their bond, one verb a step of its life.

facts      what the chain holds of it       standing   what may happen to it now, and when
plans      a proposal for each verb         verbs      the command line
"""

from cli.bond.verbs import bond

__all__ = ["bond"]
