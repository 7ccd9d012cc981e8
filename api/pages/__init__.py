"""The pages: what ran, what failed, why, and run it again, in a browser."""
