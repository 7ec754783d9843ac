"""Test doubles: toy models, judges, benchmarks and loopback servers, for our tests and those of plugins."""
