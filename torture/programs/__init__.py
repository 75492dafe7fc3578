"""Programs that the campaign starts."""
