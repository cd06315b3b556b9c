"""The shared road of every transaction a person makes with `pod`.

    target     which deployment is meant        keys       whose key signs
    proposal   what will happen, in words       simulate   what the chain says it would do and cost
    unsigned   for keys that are elsewhere      carry_out  shown, tried, confirmed, sent, final
    request    the options all of these share

A verb reads what it must know, makes a `Proposal` (or says that nothing is left to do), and hands
it to `request.run`; everything after that is the same for all verbs.
"""
