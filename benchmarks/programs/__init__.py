"""Programs that the parts start: a load client, a producer, a bare route, and measured imports."""
