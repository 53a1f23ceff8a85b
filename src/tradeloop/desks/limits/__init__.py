"""The risk-limits desk: positions against limits, by rules that the firm owns."""
