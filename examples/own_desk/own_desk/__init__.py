"""A desk of your own, installed beside tradeloop."""
