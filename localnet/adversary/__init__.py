"""A cluster and its RPC as users meet them on bad days: one truth, several views, faults as data.

faults             what can go wrong between the cluster and who asks, as frozen values
cluster_faults     what can go wrong with the cluster itself
cluster_adversary  which of that is due when a slot ends
script             all faults as a TOML file, read and printed
schedule           all faults from a seed
view               what one backend sees of the one truth
fleet              the backends behind one address, and which fault meets which call
spoil              what comes instead of an answer
doors              the fleet as HTTP and websocket addresses
manual             all of it inside a test: no sockets, and slots that end when the test says so
oracle             what is true
"""
