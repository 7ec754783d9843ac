"""Trackers: what a person or a service is told while runs go on."""
