"""A cluster's RPC as its users meet it on bad days: several backends, one truth, faults as data.

faults     what can go wrong, as frozen values; cluster_faults: with the cluster itself
script     the same as a TOML file, read and printed
schedule   the same from a seed
view       what one backend sees of the one truth; traits: how, at one moment
past       accounts as they were at any slot
fleet      the backends behind one address, and which fault meets which call
spoil      what comes instead of an answer; gate: the same for websockets
doors      the fleet as HTTP and websocket addresses
manual     all of it inside a test: no sockets, and slots that end when the test says so
oracle     what is true
"""
