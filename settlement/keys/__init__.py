"""Where the payout key lives, and the one thing that is asked of it: a signature."""
