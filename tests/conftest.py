"""Settings of all tests."""

from hypothesis import settings

# Machines differ and are shared: how long an example takes is no property of the code.
settings.register_profile("imug_tts", deadline=None)
settings.load_profile("imug_tts")
