"""Programs that the parts start: a load, a producer, a bare route, an import that is watched."""
