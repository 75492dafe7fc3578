"""Settings of all tests."""

from hypothesis import HealthCheck, settings

settings.register_profile("daybook", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("daybook")
