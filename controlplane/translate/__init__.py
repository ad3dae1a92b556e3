"""From objects to Envoy resources: pure functions, and what they have to say about the objects."""
