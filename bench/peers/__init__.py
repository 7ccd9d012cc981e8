"""What others have made, measured beside ours; each in an environment of its own."""
