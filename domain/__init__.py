"""What may happen: events, commands and the rules between them. Pure; no I/O, clock or random."""
