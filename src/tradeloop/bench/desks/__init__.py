"""`tradeloop bench desks`: how often the desks are right, and that they are never unsafe."""
