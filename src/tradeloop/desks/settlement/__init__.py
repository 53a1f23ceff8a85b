"""The settlement desk: status of instructions, who is at fault, what a fail costs, what to do next."""
