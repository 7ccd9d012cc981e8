"""Runs commands on other machines and tells the server over HTTP: standard library only."""
