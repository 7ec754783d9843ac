"""Test doubles: toy models, judges and benchmarks, and servers on this machine, for tests of ours and of plugins."""
