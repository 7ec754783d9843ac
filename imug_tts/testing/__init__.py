"""Test doubles for our tests and those of plugins: toy models, judges, benchmarks and loopback servers."""
