"""The signer: the only process that holds the payout key, or knows its way to who does."""
