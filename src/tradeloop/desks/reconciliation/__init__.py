"""The reconciliation desk: two books of trades, or a cash account and its statement, and what differs between them."""
