"""The pocket world: a small exact world for multi-turn dialogues of text and images, offline and procedural."""
