"""How the property tests find their examples: the same ones every time, or at random with `make fuzz`."""

from hypothesis import HealthCheck, settings

# Machines differ and are shared: how long an example takes is no property of the code.
any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("imug_tts", any_speed, derandomize=True, database=None)
settings.register_profile("fuzz", any_speed, derandomize=False, max_examples=1000, print_blob=True)
settings.load_profile("imug_tts")  # --hypothesis-profile=fuzz is read later and replaces it
