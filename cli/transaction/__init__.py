"""The shared road of every transaction a person makes with `pod`.

    target     which deployment is meant        keys       whose key signs
    proposal   what will happen, in words       simulate   what the chain says it would do and cost
    unsigned   for keys that are elsewhere      carry_out  shown, tried, confirmed, sent, final
    request    from options to an exit code     phone      a QR code in place of all this
    anchorpy   the independent client           show       plan and trial, for people and as JSON

    codes, purse, moments, meanings             what people type, hold, wait for and are refused

A verb reads what it must know, makes a `Proposal` (or says that nothing is left to do), and hands
it to `request.run`; everything after that is the same for all verbs.
"""
